import { assert, assertEquals } from "@std/assert";
import { parser } from "@prometheus-io/lezer-promql";
import { parse as parseYaml } from "yaml";
import { anchorsOf } from "../../scripts/pages.ts";
import { current, Fail, task } from "../../mod.ts";
import { writeMetrics } from "../../metrics.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { until } from "../support/waiting.ts";

/** The rules, the board and the page name what `/metrics` has, and are in the language of Prometheus. */

const DOCS = new URL("../../docs/", import.meta.url);
const read = (path: string) => Deno.readTextFile(new URL(path, DOCS));

/** A metric that an expression names, with the labels that it reads. */
interface Selected {
  readonly metric: string;
  readonly labels: string[];
}

/** Parses an expression by the grammar of Prometheus. */
function parseExpression(expression: string): { isValid: boolean; selected: Selected[]; grouped: string[] } {
  const selected: Selected[] = [];
  const grouped: string[] = [];
  let isValid = true;
  parser.parse(expression).iterate({
    enter(node) {
      const text = expression.slice(node.from, node.to);
      if (node.type.isError) isValid = false;
      if (node.name === "VectorSelector") selected.push({ metric: text.split("{")[0]!.trim(), labels: [] });
      if (node.name === "LabelName") {
        if (node.node.parent?.name === "GroupingLabels") grouped.push(text);
        else selected.at(-1)?.labels.push(text);
      }
    },
  });
  return { isValid, selected, grouped };
}

/** What `/metrics` of a consumer answers. */
async function metricsOfConsumer(): Promise<string> {
  await using test = await testInstance();
  const works = task({ name: taskName() }, async () => {
    await current().step("part", () => {});
    throw new Fail("never");
  });
  await using consumer = test.ff.consume({ tasks: [works] });
  await consumer.ready;
  await test.ff.run(() => works.schedule());
  await until(async () => (await writeMetrics(test.ff, { only: "consumer" })).includes('outcome="failed"} 1'));
  return await writeMetrics(test.ff);
}

/** The labels of each series, by its name. */
function seriesOf(text: string): Map<string, string[]> {
  const lines = text.split("\n");
  // Series without samples yet have a type all the same.
  const names = lines.filter((line) => line.startsWith("# TYPE ")).map((line) => line.split(" ")[2]!);
  const series = new Map<string, string[]>(
    names.map((name) => [name, name.endsWith("errors_total") ? ["action"] : []]),
  );
  for (const line of lines) {
    const [, name, labels = ""] = /^(\w+)(?:\{(.*)\})? \S+$/.exec(line) ?? [];
    if (name) series.set(name, Array.from(labels.matchAll(/(\w+)="/g), ([, label]) => label!));
  }
  return series;
}

const metrics = await metricsOfConsumer();
const series = seriesOf(metrics);

/** What is wrong with an expression. */
function problemsOf(expression: string): string[] {
  const { isValid, selected, grouped } = parseExpression(expression);
  if (!isValid || selected.length === 0) return ["it is no expression of Prometheus"];
  const known = new Set(["instance", ...selected.flatMap(({ metric }) => series.get(metric) ?? [])]);
  return [
    ...selected.filter(({ metric }) => !series.has(metric)).map(({ metric }) => `there is no ${metric}`),
    ...selected.flatMap(({ metric, labels }) =>
      labels.filter((label) => !series.get(metric)?.includes(label)).map((label) => `${metric} has no label ${label}`)
    ),
    ...grouped.filter((label) => !known.has(label)).map((label) => `no metric has a label ${label}`),
  ];
}

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly for?: string;
  readonly labels: { severity: string };
  readonly annotations: { summary: string; runbook: string };
}

Deno.test("docs/monitoring/alerts.yml has rules over metrics that there are, each with a sentence and a runbook", async () => {
  const { groups: [{ rules }] } = parseYaml(await read("monitoring/alerts.yml")) as { groups: [{ rules: Rule[] }] };
  const runbook = await read("runbook.md");

  assert(rules.length > 10);
  for (const { alert, expr, for: pending = "0m", labels, annotations: { summary, runbook: link } } of rules) {
    assertEquals(problemsOf(expr), [], `${alert}: ${expr}`);
    assert(/^\d+[mh]$/.test(pending) && ["warning", "critical"].includes(labels.severity), alert);
    assert(/^[A-Z{].*\.$/.test(summary), `${alert}: ${summary}`);
    const grouped = parseExpression(expr).grouped;
    const shown = Array.from(summary.matchAll(/\$labels\.(\w+)/g), ([, label]) => label!);
    assertEquals(shown.filter((label) => !grouped.includes(label)), [], `${alert} loses a label that it shows`);
    assertEquals(link, `docs/runbook.md#${alert.toLowerCase()}`);
  }
  const sections = anchorsOf(runbook).filter((anchor) => anchor.startsWith("firefly"));
  assertEquals(sections.sort(), rules.map(({ alert }) => alert.toLowerCase()).sort());
});

/** Whether a program is there. */
function isInstalled(program: string): boolean {
  return (Deno.env.get("PATH") ?? "").split(":").some((folder) => {
    try {
      return Deno.statSync(`${folder}/${program}`).isFile;
    } catch {
      return false;
    }
  });
}

Deno.test({
  name: "promtool accepts docs/monitoring/alerts.yml, and the metrics",
  ignore: !isInstalled("promtool"), // 19 MB of a package: CI reads both by the grammar of Prometheus alone
  async fn() {
    const rules = new URL("monitoring/alerts.yml", DOCS).pathname;
    const { code, stdout, stderr } = await new Deno.Command("promtool", { args: ["check", "rules", rules] }).output();
    assertEquals(code, 0, new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr));
    const child = new Deno.Command("promtool", { args: ["check", "metrics"], stdin: "piped", stderr: "piped" }).spawn();
    await new Blob([metrics]).stream().pipeTo(child.stdin);
    const checked = await child.output();
    assertEquals(checked.code, 0, new TextDecoder().decode(checked.stderr));
  },
});

Deno.test("docs/monitoring/grafana.json draws metrics that there are", async () => {
  const board = JSON.parse(await read("monitoring/grafana.json"));
  const targets = board.panels.flatMap(({ title, targets }: { title: string; targets: { expr: string }[] }) =>
    targets.map(({ expr }) => ({ title, expr: expr.replaceAll("$__rate_interval", "1m") }))
  );

  assert(targets.length > 15);
  for (const { title, expr } of targets) assertEquals(problemsOf(expr), [], `${title}: ${expr}`);
  const [, { query }] = board.templating.list;
  assertEquals(/^label_values\((\w+), (\w+)\)$/.exec(query.query)?.slice(1), ["firefly_queue_ready", "queue"]);
  const ids = board.panels.map(({ id }: { id: number }) => id);
  assertEquals(new Set(ids).size, ids.length);
});

Deno.test("docs/monitoring.md has every metric with its labels, and no other", async () => {
  const rows = Array.from((await read("monitoring.md")).matchAll(/^\| (`\w+`(?:, `\w+`)*) +\|(.*)$/gm));
  const written = rows.flatMap(([, names, rest]) =>
    Array.from(names!.matchAll(/`(\w+)`/g), ([, name]) => {
      const cell = rest!.split("|").slice(0, 2).find((cell) => /^ *(`\w+`(, )?)+ *$/.test(cell)) ?? "";
      return [name, Array.from(cell.matchAll(/`(\w+)`/g), ([, label]) => label)];
    })
  );
  const found = [...series].filter(([name]) => !/_(bucket|sum|count)$/.test(name)).map(([name]) => {
    const labels = series.get(`${name}_count`) ?? series.get(name)!;
    return [name, labels];
  });
  const sorted = (entries: unknown[]) => entries.map((entry) => JSON.stringify(entry)).sort();
  assertEquals(sorted(written), sorted(found));
});

Deno.test("the configuration of Prometheus in docs/monitoring.md is YAML", async () => {
  const [, block] = /^```yaml\n(.*?)^```/ms.exec(await read("monitoring.md"))!;
  const { rule_files, scrape_configs } = parseYaml(block!);
  assertEquals(rule_files, ["alerts.yml"]);
  assertEquals(scrape_configs.length, 1);
});

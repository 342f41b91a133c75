import { assert, assertEquals } from "@std/assert";
import { parseAllDocuments } from "yaml";
import { findCommands, parseCommandLine, shellLinesOf } from "../support/command_lines.ts";
import { testDatabase } from "../support/database.ts";
import { insertTask } from "../support/records.ts";
import { jsonLines, PACKAGE, testProject } from "../support/project.ts";
import { until } from "../support/waiting.ts";

const DOCS = new URL("../../docs/", import.meta.url);
const read = (path: string) => Deno.readTextFile(new URL(path, DOCS));
const commands = await findCommands();

/** The seconds of a flag such as `--shutdown-timeout 30s`. */
function secondsOf(text: string | undefined): number {
  return Number(/^(\d+)s$/.exec(text ?? "")![1]);
}

/** The command line of words that start it. */
function consumeOf(words: readonly string[]) {
  const line = parseCommandLine(words, commands);
  assertEquals(line?.command.name, "consume");
  return line!.args;
}

/** The variables that Firefly reads, of those that a text sets. */
async function assertKnownVariables(text: string): Promise<void> {
  const page = await read("configuration.md");
  const names = Array.from(text.matchAll(/\bFIREFLY_\w+/g), ([name]) => name);
  assertEquals(names.filter((name) => !page.includes(`\`${name}\``)), []);
  assert(names.length > 0);
}

for (const page of ["deploying.md", "kubernetes.md", "upgrading.md", "monitoring.md", "production-checklist.md"]) {
  Deno.test(`the commands of docs/${page} are commands of the command line`, async () => {
    const lines = shellLinesOf(await read(page)).map((words) => parseCommandLine(words, commands));
    assert(lines.some((line) => line !== undefined));
  });
}

Deno.test("docs/deploying/firefly.service starts a consumer, and waits for longer than its tasks may take", async () => {
  const unit = await read("deploying/firefly.service");
  const value = (key: string) => new RegExp(`^${key}=(.*)$`, "m").exec(unit)?.[1];

  const args = consumeOf(value("ExecStart")!.split(" "));
  assert(Number(value("TimeoutStopSec")) >= secondsOf(args.text("shutdown-timeout")) + 15);
  assertEquals([value("Restart"), value("KillMode")], ["always", "mixed"]);
  await assertKnownVariables(unit);
});

Deno.test({
  name: "systemd accepts docs/deploying/firefly.service",
  ignore: await Deno.stat("/usr/bin/systemd-analyze").then(() => false, () => true),
  async fn() {
    const directory = await Deno.makeTempDir();
    const unit = (await read("deploying/firefly.service")).replace("/usr/local/bin/deno", Deno.execPath());
    await Deno.writeTextFile(`${directory}/firefly.service`, unit);
    const args = ["verify", `${directory}/firefly.service`];
    const { code, stderr } = await new Deno.Command("systemd-analyze", { args, env: { NO_COLOR: "1" } }).output();
    const printed = new TextDecoder().decode(stderr).split("\n").filter((line) => line.includes("firefly.service"));
    await Deno.remove(directory, { recursive: true });
    assertEquals([code, printed], [0, []]);
  },
});

// deno-lint-ignore no-explicit-any
type Manifest = any;

/** The manifests of docs/kubernetes.md, by their kind. */
async function readManifests(): Promise<Map<string, Manifest>> {
  const blocks = Array.from((await read("kubernetes.md")).matchAll(/^```yaml\n(.*?)^```/gms), ([, block]) => block!);
  const documents = blocks.flatMap((block) => [...parseAllDocuments(block)]);
  for (const { errors } of documents as { errors: unknown[] }[]) assertEquals(errors, []);
  return new Map(documents.map((document) => document!.toJS()).map((manifest) => [manifest.kind, manifest]));
}

Deno.test("the manifests of docs/kubernetes.md fit the command line, and each other", async () => {
  const manifests = await readManifests();
  assertEquals([...manifests.keys()], ["Job", "Deployment", "ScaledObject", "HorizontalPodAutoscaler"]);
  const { metadata, spec } = manifests.get("Deployment");
  const { metadata: { labels, annotations }, spec: pod } = spec.template;
  const [container] = pod.containers;

  const args = consumeOf(container.args);
  const port = Number(args.text("probe-port"));
  assertEquals(container.ports, [{ name: "probes", containerPort: port }]);
  assertEquals(annotations["prometheus.io/port"], String(port));
  const probes = ["startupProbe", "livenessProbe", "readinessProbe"].map((name) => container[name].httpGet);
  assertEquals(probes.map(({ path, port }) => `${port}${path}`), ["probes/livez", "probes/livez", "probes/readyz"]);
  assert(pod.terminationGracePeriodSeconds >= secondsOf(args.text("shutdown-timeout")) + 15);
  assertEquals(labels, spec.selector.matchLabels);
  const [migrate] = manifests.get("Job").spec.template.spec.containers;
  assertEquals(parseCommandLine(migrate.args, commands)!.command.name, "migrate");
  assertEquals(migrate.image, container.image);
  assertEquals(migrate.envFrom, container.envFrom);

  const [keda, hpa] = [manifests.get("ScaledObject").spec, manifests.get("HorizontalPodAutoscaler").spec];
  assertEquals([keda.scaleTargetRef.name, hpa.scaleTargetRef.name], [metadata.name, metadata.name]);
  const [{ metadata: trigger }] = keda.triggers;
  assertEquals([trigger.threshold, hpa.metrics[0].external.target.averageValue], ["1", "1"]);
  assert(trigger.query.startsWith("sum(max by (queue) (firefly_wanted_consumers{"));
  assertEquals(hpa.metrics[0].external.metric.name, "firefly_wanted_consumers");
  assert(keda.minReplicaCount >= 1 && hpa.minReplicas >= 1);
  await assertKnownVariables(await read("kubernetes.md"));
});

const known = `export const known = task({ name: "report.known" }, () => {});`;
const fresh = `export const fresh = task({ name: "report.new" }, () => {});`;

Deno.test("a rollback leaves the tasks of the new release waiting, and they run when it is back", async () => {
  await using db = await testDatabase();
  const release = (...tasks: string[]) =>
    testProject({
      files: { "tasks.ts": [`import { task } from ${JSON.stringify(PACKAGE)};`, ...tasks].join("\n") },
      database: db.url,
    });
  await using before = await release(known);
  await using after = await release(known, fresh);
  const flags = ["--lease", "2s", "--shutdown-timeout", "5s"];
  const statusOf = async (id: number) => (await db.sql`SELECT status FROM firefly.task WHERE id = ${id}`)[0]!.status;
  const insertBoth = async () =>
    [
      await insertTask(db, { func_name: "report.new" }),
      await insertTask(db, { func_name: "report.known" }),
    ] as const;

  await using rolled = after.start("consume", "--release", "2", ...flags);
  await rolled.said("ready");
  rolled.kill("SIGTERM");
  assertEquals((await rolled.ended()).code, 0);
  const [fresh1, known1] = await insertBoth();
  await using back = before.start("consume", "--release", "1", ...flags);

  await until(async () => (await statusOf(known1)) === "completed");
  await until(async () => (await db.sql`SELECT FROM firefly.waiting WHERE reason = 'unknown'`).length === 1);
  const { stdout } = await before.run("list", "--status", "unknown");
  assertEquals(jsonLines(stdout).map(({ id }) => id), [fresh1]);

  await using again = after.start("consume", "--release", "2", ...flags);
  await until(async () => (await statusOf(fresh1)) === "completed");
  const [row] = await db
    .sql`SELECT attempted_by ->> 'release' AS release FROM firefly.task_record WHERE id = ${fresh1}`;
  assertEquals(row!.release, "2");
  for (const consumer of [back, again]) consumer.kill("SIGTERM");
  assertEquals((await Promise.all([back.ended(), again.ended()])).map(({ code }) => code), [0, 0]);
});

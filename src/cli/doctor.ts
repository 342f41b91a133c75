import { resolveConnection } from "../database/settings.ts";
import { findDatabase } from "../firefly/connect.ts";
import { diagnose, type Diagnosis } from "../doctor/doctor.ts";
import { counted, type Verdict } from "../doctor/check.ts";
import { Target } from "../doctor/target.ts";
import { connectionFailure } from "../doctor/server_checks.ts";
import { EmbeddedServerError } from "../errors.ts";
import { checkFireflyOptions, DEFAULT_SCHEMA, type FireflyOptions } from "../firefly/options.ts";
import { registry } from "../task/scope.ts";
import { asUsage } from "./arguments.ts";
import type { Command } from "./command.ts";
import { escapeLine } from "./escape.ts";
import { EXIT } from "./exit_code.ts";
import { readSettings } from "./settings.ts";
import type { Style, Terminal } from "./terminal.ts";
import { wrap } from "./wrap.ts";

/** How each verdict is shown. */
const MARKS: Readonly<Record<Verdict, [mark: string, style: Style]>> = {
  ok: ["✓", "green"],
  note: ["i", "cyan"],
  warning: ["!", "yellow"],
  wrong: ["✗", "red"],
  unknown: ["?", "red"],
  skipped: ["-", "dim"],
};
const NAME_WIDTH = "oldest transaction".length;

/** `doctor`: checks the database and everything in it. */
export const doctor: Command = {
  name: "doctor",
  usage: "",
  positionals: [0, 0],
  summary: "Check the database, the schema, the queues and the consumers for problems",
  details:
    "It changes nothing. It exits with 6 if something is wrong or a check failed, including when the database is " +
    "unreachable. With --strict, it also exits with 6 for warnings.",
  flags: { strict: { description: "Also exit with 6 for warnings" } },
  examples: ["doctor", "doctor --strict", `doctor --json | jq -r 'select(.verdict == "wrong").advice[]'`],
  async run(args, terminal) {
    const { options } = await readSettings({ args, terminal, tasks: "optional" });
    asUsage(() => checkFireflyOptions(options));
    const verdicts: Verdict[] = [];
    for await (const diagnosis of diagnoseBy(options)) {
      verdicts.push(diagnosis.verdict);
      if (terminal.json) await terminal.printJson(diagnosis);
      else for (const line of renderDiagnosis(diagnosis, terminal)) await terminal.print(line);
    }
    if (!terminal.json) await terminal.print(`\n${summaryOf(verdicts)}`);
    const bad: Verdict[] = ["wrong", "unknown", ...(args.isOn("strict") ? ["warning" as const] : [])];
    return verdicts.some((verdict) => bad.includes(verdict)) ? EXIT.unhealthy : EXIT.done;
  },
};

async function* diagnoseBy(options: FireflyOptions): AsyncGenerator<Diagnosis> {
  const { database, listenDatabase, schema = DEFAULT_SCHEMA, onProgress } = options;
  let settings;
  try {
    settings = await findDatabase({ database, onProgress });
  } catch (error) {
    if (!(error instanceof EmbeddedServerError)) throw error;
    return yield { check: "connection", ...connectionFailure(error) };
  }
  const target = new Target({
    settings,
    schema,
    names: [...registry.keys()],
    ...(listenDatabase ? { listening: await resolveConnection(listenDatabase) } : {}),
  });
  try {
    yield* diagnose(target);
  } finally {
    target.end();
  }
}

/** Renders a check: its name, and beside it what it found, uncut, followed by the advice. */
export function renderDiagnosis(
  { check, verdict, value, advice }: Diagnosis,
  terminal: Pick<Terminal, "style" | "width">,
): string[] {
  const [mark, style] = MARKS[verdict];
  const indent = NAME_WIDTH + 4;
  const room = Math.max(30, terminal.width - indent);
  const found = wrap(escapeLine(value), room).map((line) => verdict === "skipped" ? terminal.style("dim", line) : line);
  const fixes = advice.flatMap((line) =>
    wrap(escapeLine(line), room - 2).map((part, i) => `${i === 0 ? "→" : " "} ${terminal.style("cyan", part)}`)
  );
  const [first = "", ...rest] = [...found, ...fixes];
  return [
    `${terminal.style(style, mark)} ${check.padEnd(NAME_WIDTH)}  ${first}`,
    ...rest.map((line) => " ".repeat(indent) + line),
  ];
}

function summaryOf(verdicts: readonly Verdict[]): string {
  const count = (...kinds: Verdict[]) => verdicts.filter((verdict) => kinds.includes(verdict)).length;
  const [wrong, unknown, warnings, skipped] = [count("wrong"), count("unknown"), count("warning"), count("skipped")];
  return [
    ...(wrong > 0 ? [`${wrong} of ${verdicts.length} checks found a problem`] : []),
    ...(wrong + unknown === 0 ? ["No problems found"] : []),
    ...(unknown > 0 ? [counted(unknown, "check") + " failed"] : []),
    ...(warnings > 0 ? [counted(warnings, "warning")] : []),
    ...(skipped > 0 ? [`${skipped} skipped`] : []),
  ].join(", ");
}

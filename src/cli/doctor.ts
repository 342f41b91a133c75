import { resolveConnection } from "../connection.ts";
import { diagnose, type Diagnosis } from "../doctor/doctor.ts";
import type { Verdict } from "../doctor/check.ts";
import { Patient } from "../doctor/patient.ts";
import { unreachable } from "../doctor/server_checks.ts";
import { EmbeddedServerError } from "../errors.ts";
import { checkOptions, DEFAULT_SCHEMA, type FireflyOptions } from "../instance_options.ts";
import { registry } from "../scope.ts";
import { asUsage } from "./arguments.ts";
import type { Command } from "./command.ts";
import { importTasks, loadConfig } from "./discovery.ts";
import { escapeLine } from "./escape.ts";
import { EXIT } from "./exit_code.ts";
import { readSettings } from "./settings.ts";
import { cut } from "./table.ts";
import { describe, type Style, type Terminal } from "./terminal.ts";

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

/** `doctor`: looks for whatever may be wrong. */
export const doctor: Command = {
  name: "doctor",
  usage: "",
  positionals: [0, 0],
  summary: "Look for what is wrong with the database, the schema, the queues and their consumers",
  details:
    "It changes nothing. It exits with 6 if something is wrong or could not be found out, be it that the database " +
    "cannot be reached; with --strict warnings count, too.",
  flags: { strict: { description: "Exit with 6 for warnings, too" } },
  examples: ["doctor", "doctor --strict", `doctor --json | jq -r 'select(.verdict == "wrong").advice[]'`],
  async run(args, terminal) {
    const { options } = await readSettings({ args, terminal, tasks: false });
    asUsage(() => checkOptions(options));
    const imports = args.list("import") ?? [];
    await loadConfig(args.text("config")).then((found) => importTasks(found, { imports, needed: false }))
      .catch((error) => terminal.warn(describe(error)));
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
    settings = await resolveConnection(database, onProgress);
  } catch (error) {
    if (!(error instanceof EmbeddedServerError)) throw error;
    return yield { check: "connection", ...unreachable(error) };
  }
  const patient = new Patient({
    settings,
    schema,
    names: [...registry.keys()],
    ...(listenDatabase ? { listening: await resolveConnection(listenDatabase) } : {}),
  });
  try {
    yield* diagnose(patient);
  } finally {
    patient.end();
  }
}

/** A check for people: a line, and below it what to do, whole, since it is there to be copied. */
export function renderDiagnosis(
  { check, verdict, value, advice }: Diagnosis,
  terminal: Pick<Terminal, "style" | "width">,
): string[] {
  const [mark, style] = MARKS[verdict];
  const room = terminal.width - NAME_WIDTH - 4;
  // What is wrong is told in full.
  const text = verdict === "ok" || verdict === "skipped" ? cut(escapeLine(value), room) : escapeLine(value);
  const heading = `${terminal.style(style, mark)} ${check.padEnd(NAME_WIDTH)}  `;
  return [
    heading + (verdict === "skipped" ? terminal.style("dim", text) : text),
    ...advice.map((line) => `    ${terminal.style("cyan", escapeLine(line))}`),
  ];
}

function summaryOf(verdicts: readonly Verdict[]): string {
  const count = (...kinds: Verdict[]) => verdicts.filter((verdict) => kinds.includes(verdict)).length;
  const [wrong, warnings, skipped] = [count("wrong", "unknown"), count("warning"), count("skipped")];
  if (wrong + warnings === 0) return "Nothing is wrong";
  return [
    `${wrong} of ${verdicts.length} checks ${wrong === 1 ? "is" : "are"} wrong`,
    ...(warnings > 0 ? [`${warnings} ${warnings === 1 ? "warns" : "warn"}`] : []),
    ...(skipped > 0 ? [`${skipped} not asked`] : []),
  ].join(", ");
}

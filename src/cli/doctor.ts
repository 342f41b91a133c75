import { resolveConnection } from "../database/settings.ts";
import { findDatabase } from "../firefly/connect.ts";
import { diagnose, type Diagnosis } from "../doctor/doctor.ts";
import type { Verdict } from "../doctor/check.ts";
import { Target } from "../doctor/target.ts";
import { unreachable } from "../doctor/server_checks.ts";
import { EmbeddedServerError } from "../errors.ts";
import { checkOptions, DEFAULT_SCHEMA, type FireflyOptions } from "../firefly/options.ts";
import { registry } from "../task/scope.ts";
import { asUsage } from "./arguments.ts";
import type { Command } from "./command.ts";
import { escapeLine } from "./escape.ts";
import { EXIT } from "./exit_code.ts";
import { readSettings } from "./settings.ts";
import { widthOf } from "./table.ts";
import type { Style, Terminal } from "./terminal.ts";

/** How each verdict is shown. */
const MARKS: Readonly<Record<Verdict, [mark: string, style: Style]>> = {
  ok: ["✓", "green"],
  note: ["i", "cyan"],
  warning: ["!", "yellow"],
  wrong: ["✗", "red"],
  unknown: ["?", "red"],
  skipped: ["-", "dim"],
};
/** How long a module may take to be imported, in milliseconds: it is a user's, and may wait for what never comes. */
const IMPORT_TIMEOUT = 10_000;
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
    const { options } = await readSettings({ args, terminal, tasks: "tried", timeout: IMPORT_TIMEOUT });
    asUsage(() => checkOptions(options));
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
    return yield { check: "connection", ...unreachable(error) };
  }
  const patient = new Target({
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

/** A check for people: what it found, whole, and below it what to do, in a column beside the names. */
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

/** `text` in lines of at most `room` columns, broken between words; a word that is longer stays whole. */
function wrap(text: string, room: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const line = lines.at(-1);
    if (line !== undefined && widthOf(`${line} ${word}`) <= room) lines[lines.length - 1] = `${line} ${word}`;
    else lines.push(word);
  }
  return lines;
}

function summaryOf(verdicts: readonly Verdict[]): string {
  const count = (...kinds: Verdict[]) => verdicts.filter((verdict) => kinds.includes(verdict)).length;
  const [wrong, unknown, warnings, skipped] = [count("wrong"), count("unknown"), count("warning"), count("skipped")];
  return [
    ...(wrong > 0 ? [`${wrong} of ${verdicts.length} checks ${wrong === 1 ? "is" : "are"} wrong`] : []),
    ...(wrong + unknown === 0 ? ["Nothing is wrong"] : []),
    ...(unknown > 0 ? [`${unknown} could not be found out`] : []),
    ...(warnings > 0 ? [`${warnings} ${warnings === 1 ? "warns" : "warn"}`] : []),
    ...(skipped > 0 ? [`${skipped} not asked`] : []),
  ].join(", ");
}

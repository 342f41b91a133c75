import type { Flag, Flags } from "./flags.ts";
import { type Command, GLOBAL_FLAGS } from "./command.ts";
import { EXIT_MEANINGS } from "./exit_code.ts";
import type { Terminal } from "./terminal.ts";
import { wrap } from "./wrap.ts";

/** The widest that the lines of help may be; a narrower terminal makes them narrower. */
const WIDTH = 100;

/** The help of the program. */
export function renderOverview(
  terminal: Terminal,
  commands: readonly Command[],
): string {
  return [
    "Firefly, a task queue on Postgres",
    "",
    `${title(terminal, "Usage")} firefly <command> [flags]`,
    ...section(terminal, "Commands", commands.map(({ name, summary }) => [name, summary])),
    ...section(terminal, "Flags of every command", describeFlags(GLOBAL_FLAGS)),
    ...section(terminal, "Exit codes", EXIT_MEANINGS.map(([code, meaning]) => [String(code), meaning])),
    "",
    "Run `firefly help <command>` for details.",
  ].join("\n");
}

/** The help of one command. */
export function renderCommand(terminal: Terminal, command: Command): string {
  const { name, usage, summary, details, flags, examples } = command;
  const paragraphs = details?.split("\n\n").flatMap((paragraph) => ["", ...wrap(paragraph, widthOf(terminal))]) ?? [];
  return [
    `${title(terminal, "Usage")} firefly ${[name, usage].filter(Boolean).join(" ")} [flags]`,
    "",
    ...wrap(`${summary}.`, widthOf(terminal)),
    ...paragraphs,
    ...section(terminal, "Flags", describeFlags(flags)),
    ...section(terminal, "Flags of every command", describeFlags(GLOBAL_FLAGS)),
    ...(examples.length ? ["", title(terminal, "Examples"), ...examples.map((line) => `  firefly ${line}`)] : []),
  ].join("\n");
}

function describeFlags(flags: Flags): [string, string][] {
  return Object.entries(flags).map(([name, flag]) => [titleOfFlag(name, flag), describeFlag(flag)]);
}

/** A flag with its short form and its value: `-q, --queue <name>`. */
export function titleOfFlag(name: string, { short, value }: Flag): string {
  return `${short ? `-${short}, ` : ""}--${name}${value ? ` <${value}>` : ""}`;
}

/** Describes a flag, its default and its variable. */
export function describeFlag({ list, description, byDefault, env }: Flag): string {
  const hint = list === "commas" ? " (comma-separated or repeated)" : list ? " (repeatable)" : "";
  const notes = [...(byDefault ? [`Default: ${byDefault}`] : []), ...(env ? [`$${env}`] : [])];
  return `${description}${hint}${notes.length > 0 ? `. ${notes.join(". ")}` : ""}`;
}

function section(terminal: Terminal, heading: string, entries: readonly (readonly [string, string])[]): string[] {
  if (entries.length === 0) return [];
  const column = Math.max(...entries.map(([name]) => name.length)) + 4;
  const lines = entries.flatMap(([name, text]) => {
    const [first, ...more] = wrap(text, widthOf(terminal) - column);
    const label = `  ${terminal.style("cyan", name)}${" ".repeat(column - 2 - name.length)}`;
    return [`${label}${first}`, ...more.map((line) => " ".repeat(column) + line)];
  });
  return ["", title(terminal, heading), ...lines];
}

function title(terminal: Terminal, text: string): string {
  return terminal.style("bold", `${text}:`);
}

function widthOf(terminal: Terminal): number {
  return Math.min(WIDTH, terminal.width);
}

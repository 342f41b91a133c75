import { VERSION } from "../version.ts";
import { type Command, GLOBAL_FLAGS } from "./command.ts";
import { EXIT, EXIT_MEANINGS } from "./exit_code.ts";
import type { Flags } from "./flags.ts";
import { describeFlag, titleOfFlag } from "./help.ts";

/** `man`: prints the manual page. */
export const man: Command = {
  name: "man",
  usage: "",
  positionals: [0, 0],
  summary: "Print the manual page of all commands, for man",
  details: "It is made of the same texts as `help`. Write it to a folder of MANPATH, as man1/firefly.1.",
  flags: {},
  examples: ["man > firefly.1 && man -l firefly.1"],
  async run(_, terminal, commands) {
    await terminal.print(renderManual(commands).trimEnd());
    return EXIT.done;
  },
};

/** Makes the manual page, in the macros of man(7). */
function renderManual(commands: readonly Command[]): string {
  return [
    `.TH FIREFLY 1 "" "Firefly ${VERSION}" "User Commands"`,
    ".SH NAME",
    "firefly \\- a task queue on Postgres",
    ".SH SYNOPSIS",
    ".B firefly",
    ".I command",
    "[arguments] [flags]",
    ".SH DESCRIPTION",
    ...paragraph(
      "Runs, schedules, shows and controls tasks that are stored in PostgreSQL. A setting comes from its flag, else from " +
        "its variable of the environment, else from firefly.config.ts, else it has its default: `firefly config` shows " +
        "which.",
    ),
    ".SH COMMANDS",
    ...commands.flatMap(renderCommand),
    ".SH FLAGS OF EVERY COMMAND",
    ...renderFlags(GLOBAL_FLAGS),
    ".SH EXIT STATUS",
    ...EXIT_MEANINGS.flatMap(([code, meaning]) => [".TP", `.B ${code}`, ...paragraph(`${meaning}.`)]),
    ".SH FILES",
    ".TP",
    ".B firefly.config.ts",
    ...paragraph("The configuration, in the working directory."),
    ".SH SEE ALSO",
    ".BR psql (1)",
    "",
  ].join("\n");
}

function renderCommand({ name, usage, summary, details, flags, examples }: Command): string[] {
  return [
    `.SS firefly ${escape([name, usage].filter(Boolean).join(" "))}`,
    ...paragraph(`${summary}.`),
    ...(details?.split("\n\n").flatMap((text) => [".PP", ...paragraph(text)]) ?? []),
    ...renderFlags(flags),
    ...(examples.length > 0
      ? [".PP", "Examples:", ".PP", ".nf", ...examples.map((line) => `    firefly ${escape(line)}`), ".fi"]
      : []),
  ];
}

function renderFlags(flags: Flags): string[] {
  return Object.entries(flags).flatMap(([name, flag]) => {
    return [".TP", `.B ${escape(titleOfFlag(name, flag))}`, ...paragraph(describeFlag(flag))];
  });
}

function paragraph(text: string): string[] {
  return [escape(text)];
}

/** A backslash, a hyphen, and a period or an apostrophe at the start of a line mean something to roff. */
function escape(text: string): string {
  return text.replaceAll("\\", "\\e").replaceAll("-", "\\-").replace(/^[.']/, "\\&$&");
}

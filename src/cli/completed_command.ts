import { type Command, GLOBAL_FLAGS } from "./command.ts";
import type { Flag, Flags } from "./flags.ts";

/** A flag as a shell completes it. */
export interface CompletedFlag extends Flag {
  readonly name: string;
  /** What its value is: nothing, a file, one of some words, or unknown. */
  readonly takes: "nothing" | "file" | "choice" | "text";
}

/** A command as a shell completes it. */
export interface CompletedCommand {
  readonly name: string;
  readonly summary: string;
  readonly flags: readonly CompletedFlag[];
  /** The words that its first argument may be; empty if that is no fixed word. */
  readonly words: readonly string[];
}

/** All commands, with the flags that each takes. */
export function completedCommands(commands: readonly Command[]): CompletedCommand[] {
  const names = commands.map(({ name }) => name);
  return [
    ...commands.map(({ name, summary, flags, usage }) => ({
      name,
      summary,
      flags: completedFlags({ ...flags, ...GLOBAL_FLAGS }),
      words: wordsOf(usage),
    })),
    { name: "help", summary: "Show the help of a command", flags: completedFlags(GLOBAL_FLAGS), words: names },
    { name: "version", summary: "Show the version", flags: completedFlags(GLOBAL_FLAGS), words: [] },
  ];
}

function completedFlags(flags: Flags): CompletedFlag[] {
  return Object.entries(flags).map(([name, flag]) => ({ ...flag, name, takes: takesOf(flag) }));
}

function takesOf({ value, choices }: Flag): CompletedFlag["takes"] {
  if (value === undefined) return "nothing";
  return choices ? "choice" : value === "file" || value === "module" ? "file" : "text";
}

/** The fixed words at the start of a usage: `list|pause [name]`, `[set <consumer…>]`. */
function wordsOf(usage: string): string[] {
  return /^\[?([a-z]+(?:\|[a-z]+)*)(?=[\s\]]|$)/.exec(usage)?.[1]?.split("|") ?? [];
}

import { Arguments } from "../../src/cli/arguments.ts";
import { type Command, GLOBAL_FLAGS } from "../../src/cli/command.ts";

const FOLDER = new URL("../../src/cli/", import.meta.url);
/** The command line as Deno starts it from the registry; after the alias that pages make, it is `firefly`. */
const PROGRAM = "jsr:@firefly/tasks/cli";

/** The commands that files of `src/cli/` export, by name. */
export async function findCommands(): Promise<Map<string, Command>> {
  const commands = new Map<string, Command>();
  for await (const { name } of Deno.readDir(FOLDER)) {
    for (const value of Object.values(await import(new URL(name, FOLDER).href))) {
      if (typeof value !== "object" || value === null || !("run" in value && "positionals" in value)) continue;
      commands.set((value as Command).name, value as Command);
    }
  }
  return commands;
}

/** A command of the command line, as it is written somewhere. */
export interface CommandLine {
  readonly command: Command;
  readonly args: Arguments;
  /** All after the program. */
  readonly words: readonly string[];
}

/** Finds the command line in words of a shell, and parses it as the command line does; undefined if it is not in there. */
export function parseCommandLine(words: readonly string[], commands: Map<string, Command>): CommandLine | undefined {
  const start = words[0] === "firefly" ? 0 : words.indexOf(PROGRAM);
  if (start < 0) return undefined;
  const [name = "", ...rest] = words.slice(start + 1);
  const command = commands.get(name);
  if (!command) throw new Error(`There is no command ${JSON.stringify(name)} in: ${words.join(" ")}`);
  const args = new Arguments(name, rest, { ...command.flags, ...GLOBAL_FLAGS });
  const [least, most] = command.positionals;
  if (args.positionals.length < least || args.positionals.length > most) {
    throw new Error(`"${name}" takes ${least} to ${most} arguments: ${words.join(" ")}`);
  }
  return { command, args, words: words.slice(start + 1) };
}

/** The lines of a page's blocks of `sh`, each as words, without comments. Firefly's lines need no quotes but these. */
export function shellLinesOf(markdown: string): string[][] {
  const blocks = Array.from(markdown.matchAll(/^```sh *\n(.*?)^```/gms), ([, block]) => block!);
  return blocks.flatMap((block) => block.split("\n")).map((line) =>
    Array.from(
      line.replace(/(^|\s)#.*$/, "").matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g),
      (match) => match[1] ?? match[2] ?? match[3]!,
    )
  ).filter(([first]) => first !== undefined && first !== "alias");
}

import { assert, assertEquals } from "@std/assert";
import { type Command, GLOBAL_FLAGS } from "../../src/cli/command.ts";
import { EXIT_MEANINGS } from "../../src/cli/exit_code.ts";
import { FILTER_FLAGS } from "../../src/cli/filter.ts";

const PAGE = await Deno.readTextFile(new URL("../../docs/cli.md", import.meta.url));
const FOLDER = new URL("../../src/cli/", import.meta.url);

function isCommand(value: unknown): value is Command {
  return typeof value === "object" && value !== null && "run" in value && "positionals" in value;
}

/** Every command that a file of `src/cli/` exports. */
async function findCommands(): Promise<Command[]> {
  const commands: Command[] = [];
  for await (const { name } of Deno.readDir(FOLDER)) {
    commands.push(...Object.values(await import(new URL(name, FOLDER).href)).filter(isCommand));
  }
  return commands.sort((a, b) => a.name < b.name ? -1 : 1);
}

/** The rows of the table of a section, as their cells. A cell may hold an escaped `|`. */
function rowsOf(section: string): string[][] {
  const [, rest] = PAGE.split(`\n## ${section}\n`);
  const [text] = rest!.split("\n## ");
  const [, , ...rows] = text!.split("\n").filter((line) => line.startsWith("|"));
  return rows.map((row) => row.split(/(?<!\\)\|/).slice(1, -1).map((cell) => cell.trim().replaceAll("\\|", "|")));
}

function flagsOf(cell: string): string[] {
  return Array.from(cell.matchAll(/`--([\w-]+)`/g), ([, flag]) => flag!).sort();
}

Deno.test("docs/cli.md has every command, with what it takes and its flags", async () => {
  const commands = await findCommands();
  assert(commands.length > 10, "where are the commands?");
  const filters = Object.keys(FILTER_FLAGS);
  const written = rowsOf("Commands").map(([name, usage, , flags]) => ({
    name: name!.replaceAll("`", ""),
    usage: usage!.replaceAll("`", ""),
    flags: [...(flags!.includes("filter flags") ? filters : []), ...flagsOf(flags!)].sort(),
  })).sort((a, b) => a.name < b.name ? -1 : 1);

  assertEquals(written, commands.map(({ name, usage, flags }) => ({ name, usage, flags: Object.keys(flags).sort() })));
});

Deno.test("docs/cli.md has every global flag and every filter flag, and no other", () => {
  assertEquals(flagsOf(rowsOf("Global flags").join()), Object.keys(GLOBAL_FLAGS).sort());
  assertEquals(flagsOf(rowsOf("Filter flags").join()), Object.keys(FILTER_FLAGS).sort());
});

Deno.test("docs/cli.md has every exit code, and no other", () => {
  const written = rowsOf("Exit codes").flatMap(([code]) => code!.split(", ").map(Number));
  const known = [...EXIT_MEANINGS.map(([code]) => code), 143];
  assertEquals(written.sort(), known.sort());
});

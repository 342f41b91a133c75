import { assert, assertEquals } from "@std/assert";
import { testDatabase } from "../support/database.ts";

/** The programs of docs/ run, each on a database of its own; `deno task check` checks their types. */

const DOCS = new URL("../../docs/", import.meta.url);
const CONFIG = new URL("../../deno.json", import.meta.url).pathname;

/** Pages that no program can show: maps, procedures, and results of this repository's tools. */
const WITHOUT_PROGRAM = [
  "README.md",
  "architecture.md",
  "benchmarks.md",
  "cli.md",
  "comparison.md",
  "deploying.md",
  "guarantees.md",
  "production-checklist.md",
  "reports/benchmarks.md",
  "reports/soak.md",
  "reports/workflows.md",
  "runbook.md",
  "tables.md",
];

/** Milliseconds that one program may take: far more than any needs, on a machine that is busy. */
const TIMEOUT = 90_000;

/** A line that says in a comment what it prints. */
const PRINTS = /^ *console\.log\(.*\); \/\/ (.*)$/gm;

/** A block of a page that is a program. */
interface Program {
  /** Its page and its number there, from 1. */
  readonly name: string;
  readonly text: string;
}

/** The blocks that begin with three backticks and `ts` alone; those of `ts ignore` are fragments. */
function programsOf(page: string, markdown: string): Program[] {
  const blocks = markdown.matchAll(/^```ts *\n(.*?)^```/gms);
  const name = page.slice(0, -".md".length).replaceAll("/", "_");
  return Array.from(blocks, ([, text], index) => ({ name: `${name}_${index + 1}`, text: text! }));
}

const pages = ["", "reports/"].flatMap((folder) =>
  Array.from(Deno.readDirSync(new URL(folder || ".", DOCS)), ({ name }) => `${folder}${name}`)
).filter((name) => name.endsWith(".md")).sort();
const programs = pages.map((page) => {
  const markdown = Deno.readTextFileSync(new URL(page, DOCS)).replaceAll("\r\n", "\n");
  return { page, found: programsOf(page, markdown) };
});

/** What a program did. */
interface Ran {
  readonly code: number;
  readonly stdout: string;
  /** All that it printed. */
  readonly output: string;
}

/** The lines of `printed` that `program` announces in comments, in the order in which it does. */
function announced({ text }: Program, printed: string): { expected: string[]; found: string[] } {
  const expected = Array.from(text.matchAll(PRINTS), ([, comment]) => comment!);
  const lines = printed.split("\n");
  const found = expected.filter((line) => {
    const at = lines.indexOf(line);
    if (at >= 0) lines.splice(0, at + 1);
    return at >= 0;
  });
  return { expected, found };
}

/** Runs a program in a directory of its own. */
async function run({ name, text }: Program, database: string): Promise<Ran> {
  // The import map of the configuration holds for modules anywhere, so nothing has to be written into the checkout.
  const cwd = await Deno.realPath(await Deno.makeTempDir({ prefix: "firefly_docs_" }));
  try {
    await Deno.writeTextFile(`${cwd}/${name}.ts`, text);
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", "--quiet", "--config", CONFIG, `${name}.ts`],
      cwd,
      env: { NO_COLOR: "1", FIREFLY_DATABASE_URL: database, DATABASE_URL: "", PGHOST: "" },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    let late = "";
    const timer = setTimeout(() => {
      late = `It did not end within ${TIMEOUT / 1000} s`;
      child.kill("SIGKILL");
    }, TIMEOUT);
    const { code, stdout, stderr } = await child.output().finally(() => clearTimeout(timer));
    const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
    return { code, stdout: out!, output: [out, err, late].filter(Boolean).join("\n") };
  } finally {
    await Deno.remove(cwd, { recursive: true });
  }
}

for (const { page, found } of programs) {
  if (WITHOUT_PROGRAM.includes(page)) continue;
  Deno.test(`docs/${page} has a program that asserts what comes of it`, () => {
    assert(
      found.some(({ text }) => /from "@std\/assert"/.test(text)),
      `Cannot find one among ${found.length} programs`,
    );
  });

  for (const program of found) {
    Deno.test(`docs/${page} program ${program.name.split("_").at(-1)} runs, and prints what it says`, async () => {
      await using db = await testDatabase();

      const { code, stdout, output } = await run(program, db.url);

      assertEquals(code, 0, output);
      const { expected, found } = announced(program, stdout);
      assertEquals(found, expected, output);
    });
  }
}

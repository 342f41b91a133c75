import { assert, assertEquals } from "@std/assert";
import { testDatabase } from "../support/database.ts";

/** The programs of docs/ run, each on a database of its own; `deno task check` checks their types. */

const DOCS = new URL("../../docs/", import.meta.url);
const CONFIG = new URL("../../deno.json", import.meta.url).pathname;

/** Pages about what only this repository has: no program of a user's could show it. */
const ABOUT_TOOLS = ["benchmarks.md", "soak.md"];

/** Milliseconds that one program may take: far more than any needs, on a machine that is busy. */
const TIMEOUT = 90_000;

/** A block of a page that is a program. */
interface Program {
  /** Its page and its number there, from 1. */
  readonly name: string;
  readonly text: string;
}

/** The blocks that begin with three backticks and `ts` alone; those of `ts ignore` are fragments. */
function programsOf(page: string, markdown: string): Program[] {
  const blocks = markdown.matchAll(/^```ts *\n(.*?)^```/gms);
  return Array.from(blocks, ([, text], index) => ({ name: `${page}_${index + 1}`, text: text! }));
}

const pages = Array.from(Deno.readDirSync(DOCS), ({ name }) => name).filter((name) => name.endsWith(".md")).sort();
const programs = pages.map((page) => {
  const markdown = Deno.readTextFileSync(new URL(page, DOCS)).replaceAll("\r\n", "\n");
  return { page, found: programsOf(page.slice(0, -".md".length), markdown) };
});

/** Runs a program in a directory of its own; resolves to its exit code and all that it printed. */
async function run({ name, text }: Program, database: string): Promise<{ code: number; output: string }> {
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
    const decoder = new TextDecoder();
    return { code, output: [decoder.decode(stdout), decoder.decode(stderr), late].filter(Boolean).join("\n") };
  } finally {
    await Deno.remove(cwd, { recursive: true });
  }
}

for (const { page, found } of programs) {
  if (ABOUT_TOOLS.includes(page)) continue;
  Deno.test(`docs/${page} has a program that asserts what comes of it`, () => {
    assert(
      found.some(({ text }) => /from "@std\/assert"/.test(text)),
      `Cannot find one among ${found.length} programs`,
    );
  });

  for (const program of found) {
    Deno.test(`docs/${page} program ${program.name.split("_").at(-1)} runs to its end`, async () => {
      await using db = await testDatabase();

      const { code, output } = await run(program, db.url);

      assertEquals(code, 0, output);
    });
  }
}

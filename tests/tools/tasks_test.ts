import { assert, assertEquals } from "@std/assert";

const ROOT = new URL("../../", import.meta.url);
const { tasks } = JSON.parse(await Deno.readTextFile(new URL("deno.json", ROOT)));

/** Folders whose tests ask nothing of the server that others do not, with the reason. */
const NOT_FOR_ANOTHER_SERVER: Record<string, string> = {
  alerts: "its SQL is that of store/ and metrics/",
  browser: "its pages are those of dashboard/",
  cli: "its SQL is that of store/; the doctor's tests, which ask about the server itself, are named one by one",
  consume: "its SQL is that of store/, claim/ and settle/; it is about processes and their clocks",
  docs: "its programs do what the tests of the other folders do",
  embedded: "it starts servers of its own",
  everywhere: "it has no tests, but programs that deno task everywhere runs",
  firefly: "its SQL is that of database/ and store/",
  import: "its SQL is about the tables of other queues, and CI runs deno task everywhere on one server, too",
  faults: "many start servers of their own, and the rest take minutes",
  support: "it has no tests",
  task: "definitions send no SQL of their own",
  telemetry: "its SQL is that of claim/ and attempt/",
  tools: "they are no part of the package",
};

/** The files and folders that a task of deno.json passes to `deno test`, or ignores. */
function pathsOf(task: string): string[] {
  return [...tasks[task].command.matchAll(/tests\/[\w./*]+/g)].map(([path]) => path);
}

Deno.test("deno task test:server runs every folder of tests/ but for those that ask nothing of a server", async () => {
  const folders: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(new URL("tests/", ROOT))) if (isDirectory) folders.push(name);

  const expected = folders.filter((name) => !(name in NOT_FOR_ANOTHER_SERVER)).map((name) => `tests/${name}`);
  const listed = pathsOf("test:server").filter((path) => !/\.ts$/.test(path));

  assertEquals(listed.sort(), expected.sort());
});

/** Adds the modules of this repository that a module imports, directly or not. */
async function addImports(module: URL, found: Set<string>): Promise<Set<string>> {
  if (found.has(module.pathname)) return found;
  found.add(module.pathname);
  const text = await Deno.readTextFile(module).catch(() => ""); // a path in a text is none, for one
  for (const [, path] of text.matchAll(/(?:from|import)\s*\(?\s*"(\.[^"]+)"/g)) {
    await addImports(new URL(path!, module), found);
  }
  return found;
}

Deno.test("deno task test:server ignores no test that uses a server", async () => {
  const [, ignored = ""] = /--ignore=(\S+)/.exec(tasks["test:server"].command) ?? [];
  const server = new URL("tests/support/server.ts", ROOT).pathname;
  const usesServer = async (path: string) => (await addImports(new URL(path, ROOT), new Set())).has(server);

  assertEquals(await usesServer("tests/wire/sql_test.ts"), true);
  for (const path of ignored.split(",")) assertEquals(await usesServer(path), false, path);
});

Deno.test("deno task check names every folder of tests/ but that of programs with libraries of their own", async () => {
  const { command } = tasks.check;
  const folders: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(new URL("tests/", ROOT))) if (isDirectory) folders.push(name);

  const named = folders.filter((name) => !name.startsWith("e") || command.includes(`tests/${name} `));
  assert(command.includes(" tests/[!e]* "));
  assertEquals(folders.filter((name) => !named.includes(name)), ["everywhere"]);
});

for (const task of ["test", "test:quick", "test:server", "test:tools"]) {
  Deno.test(`deno task ${task} names files and folders that exist`, async () => {
    for (const path of pathsOf(task)) await Deno.stat(new URL(path.replace("/*_test.ts", ""), ROOT));
  });
}

import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { PACKAGE, testProject } from "../support/project.ts";

const UNSET = { FIREFLY_DATABASE_URL: "", DATABASE_URL: "", PGHOST: "", PGHOSTADDR: "", PGSERVICE: "", PGDATABASE: "" };

/** A project without a database, whose embedded server would be in a directory of its own. */
async function projectWithout(env: Record<string, string>, files?: Record<string, string>) {
  const home = await Deno.makeTempDir({ prefix: "firefly_home_" });
  const project = await testProject({
    env: { ...UNSET, FIREFLY_HOME: home, FIREFLY_EMBEDDED: "", ...env },
    ...(files ? { files } : {}),
  });
  return {
    ...project,
    /** What is in the directory of the embedded server: nothing, unless one was started. */
    inHome: () => Array.from(Deno.readDirSync(home), ({ name }) => name),
    async [Symbol.asyncDispose]() {
      await Deno.remove(home, { recursive: true });
      await project[Symbol.asyncDispose]();
    },
  };
}

for (
  const args of [
    ["consume"],
    ["consume", "--probe-port", "0"],
    ["schedule", "math.add", "[1,3]"],
    ["list"],
    ["migrate"],
    ["doctor"],
    ["db", "url"],
  ]
) {
  Deno.test(`${args.join(" ")} starts no server where the database's variable is misspelled`, async () => {
    await using project = await projectWithout({ DATABSE_URL: "postgres://u:secret@db.example/app" });

    const { code, stdout, stderr } = await project.run(...args);

    assertEquals([code, stdout, project.inHome()], [3, "", []], stderr);
    assertStringIncludes(stderr, "DATABSE_URL is: did you mean DATABASE_URL?");
    assertStringIncludes(stderr, "FIREFLY_EMBEDDED=1");
    assertEquals(stderr.includes("secret"), false);
  });
}

Deno.test("configure() and new Firefly() start no server in a program where the database's variable is misspelled", async () => {
  const program = `
    import { configure, Firefly, task } from ${JSON.stringify(PACKAGE)};
    const add = task("add", (i: number) => i);
    const told = (error: Error) => console.log(error.name + ": " + error.message);
    await new Firefly().sql\`SELECT 1\`.catch(told);
    configure({});
    await add.schedule(1).catch(told);
  `;
  await using project = await projectWithout({ FIREFLY_DATABASEURL: "postgres://db.example/app" }, {
    "web.ts": program,
  });

  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-A",
      "--no-check",
      "--quiet",
      "--config",
      new URL("../../deno.json", import.meta.url).pathname,
      "web.ts",
    ],
    cwd: project.directory,
    env: { ...UNSET, FIREFLY_EMBEDDED: "", FIREFLY_DATABASEURL: "postgres://db.example/app", NO_COLOR: "1" },
    stdin: "null",
  }).output();

  const lines = new TextDecoder().decode(stdout).trim().split("\n");
  assertEquals(lines.length, 2);
  for (const line of lines) assertMatch(line, /^DatabaseUnreachable: .*did you mean FIREFLY_DATABASE_URL\?/);
  assertEquals(project.inHome(), []);
});

Deno.test("tasks, help and db status need no database", async () => {
  await using project = await projectWithout({});

  assertEquals((await project.run("tasks")).code, 0);
  assertEquals((await project.run("help")).code, 0);
  const { code, stderr } = await project.run("db", "status");
  assertEquals([code, stderr], [3, ""]);
});

Deno.test("--embedded excludes --database", async () => {
  await using project = await projectWithout({});

  const { code, stderr } = await project.run("list", "--embedded", "--database", "postgres://host/db");

  assertEquals(code, 2);
  assertStringIncludes(stderr, "--embedded and --database");
});

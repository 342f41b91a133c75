import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { testDatabase } from "../support/database.ts";
import { jsonLines, PACKAGE, testProject } from "../support/project.ts";

/** Statements of a module that disturb a command that imports it. */
const DISTURBING: Record<string, string> = {
  "waits for ever": "await new Promise(() => setInterval(() => {}, 1000));",
  "throws": `throw new Error("bad");`,
  "exits": `process.exit(0);`,
  "exits through Deno": "Deno.exit(0);",
  "prints": `console.log("noise"); process.stdout.write("noise\\n"); Deno.stdout.writeSync(new Uint8Array([120, 10]));`,
  "throws later": `setTimeout(() => { throw new Error("late"); }); Promise.reject(new Error("rejected"));`,
};

function module(statements: string): string {
  return `import process from "node:process"; import { task } from ${JSON.stringify(PACKAGE)};
    task("math.add", () => 1); ${statements}`;
}

/** Commands that look at the database, or change records by id or name. */
const LOOKING = [
  ["list"],
  ["show", "1"],
  ["explain", "1"],
  ["queues"],
  ["pause", "default"],
  ["resume", "default"],
  ["cancel", "1"],
  ["retry", "1"],
  ["delete", "2"],
  ["prune"],
  ["cron", "list"],
  ["migrate", "--status"],
  ["db", "url"],
];

Deno.test("commands that look do not import task modules", async (t) => {
  await using db = await testDatabase();
  await using project = await testProject({
    database: db.url,
    files: {
      "tasks.ts": `import process from "node:process"; process.stderr.write("imported\\n"); ${DISTURBING.exits}`,
    },
  });
  await db.sql`SELECT firefly.schedule('a') FROM generate_series(1, 2)`;

  for (const args of LOOKING) {
    await t.step(args.join(" "), async () => {
      const { code, stderr } = await project.run(...args);
      assertEquals([code, stderr], [0, ""]);
    });
  }
});

const { "waits for ever": WAITS, ...OTHERS } = DISTURBING;

for (const [what, statements] of Object.entries(OTHERS)) {
  Deno.test(`doctor reports everything although a module ${what}`, async () => {
    await using db = await testDatabase();
    await using project = await testProject({ database: db.url, files: { "tasks.ts": module(statements) } });

    const { code, stdout, stderr } = await project.run("doctor");

    assertEquals(code, 0, stderr);
    assert(jsonLines(stdout).length >= 18, stdout);
    assert(stderr !== "", "it says so");
  });
}

Deno.test("tasks prints nothing but its data on stdout, whatever a module prints", async () => {
  await using project = await testProject({
    files: {
      "tasks.ts": module(
        `${DISTURBING.prints} console.table([{ noise: 1 }]); setTimeout(() => console.info("noise"));
         await Deno.stdout.write(new Uint8Array([120, 10])); (await Deno.stdout.writable.getWriter()).write(new Uint8Array([120]));`,
      ),
      "firefly.config.ts": `console.log("noise"); export default {};`,
    },
  });

  const { code, stdout, stderr } = await project.run("tasks");

  assertEquals([code, jsonLines(stdout).map(({ func_name }) => func_name)], [0, ["math.add"]]);
  assertEquals(stderr.match(/noise/g)!.length, 5);
});

for (const call of ["process.exit(0)", "Deno.exit(3)"]) {
  Deno.test(`commands that need the tasks refuse a module that calls ${call}`, async () => {
    await using project = await testProject({ files: { "tasks.ts": module(call) } });

    const { code, stdout, stderr } = await project.run("tasks");

    assertEquals([code, stdout], [1, ""]);
    assertEquals(stderr, `error: Cannot import tasks.ts as it ends the process: it calls ${call}\n`);
  });
}

Deno.test("consume names a module whose import does not end", async () => {
  await using project = await testProject({ files: { "tasks.ts": module(WAITS!) } });
  await using consumer = project.start("consume");

  const line = await consumer.said("Waiting for");

  assertStringIncludes(JSON.parse(line).message, "Waiting for tasks.ts: its import does not end");
});

Deno.test("consume leaves stdout to handlers", async () => {
  await using db = await testDatabase();
  await using project = await testProject({
    database: db.url,
    files: {
      "tasks.ts": `import { task } from ${JSON.stringify(PACKAGE)}; task("says", () => console.log("hello"));`,
    },
  });
  await db.sql`SELECT firefly.schedule('says')`;

  assertEquals((await project.run("consume", "--drain")).stdout, "hello\n");
});

Deno.test("loadConfig() does not wait for ever for a configuration, in commands that look", async () => {
  await using project = await testProject({
    files: { "firefly.config.ts": `${WAITS} export default {};` },
  });

  const { code, stdout, stderr } = await project.run("list");

  assertEquals([code, stdout], [1, ""]);
  assertMatch(stderr, /Waiting for firefly\.config\.ts.*\nerror: Cannot import firefly\.config\.ts as it takes longer/);
});

Deno.test("commands that look import what --import names, and show what it throws as a warning", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url, files: { "given.ts": `throw new Error("bad");` } });

  const { code, stderr } = await project.run("list", "--import", "./given.ts");

  assertEquals([code, stderr], [0, "warning: Cannot import given.ts: Error: bad at given.ts:1:7\n"]);
});

Deno.test("consume says that commands that look cannot see a database configured in a module that a task module imports", async () => {
  await using db = await testDatabase();
  const database = `
    import { configure } from ${JSON.stringify(PACKAGE)};
    configure({ database: ${JSON.stringify(db.url)} });
  `;
  await using project = await testProject({
    files: { "lib/database.ts": database, "tasks.ts": `import "./lib/database.ts"; ${module("")}` },
  });

  const { code, stderr } = await project.run("consume", "--drain");

  assertEquals(code, 0);
  assertStringIncludes(stderr, "cannot see the database that a module passed to configure()");
});

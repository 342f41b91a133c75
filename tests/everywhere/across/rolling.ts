// Within: 120 s
/**
 * A rolling release over two runtimes, and back: the old release runs on the runtime of this program, the next one, which
 * has a migration and a task more, on another. Tasks are scheduled all the while, by both.
 *
 * @module
 */
import { configure } from "@firefly/tasks";
import assert from "node:assert/strict";
import { rm } from "node:fs/promises";
import { check, library } from "../check.ts";
import { makeNextProject, NEXT } from "./shared/next_release.ts";
import { OWN, Program, withPrograms } from "./shared/runtimes.ts";

/** The runtime of the next release, by that of the old one. */
const THEN: Record<string, string> = { node22: "deno", deno: "node24", node24: "bun", bun: "node22" };

library("@firefly/tasks");
const other = THEN[OWN]!;
const ff = configure({});
await ff.sql`
  CREATE TABLE ledger (name text, n int, release text, runtime text, attempt int, at timestamptz DEFAULT clock_timestamp())
`;
const project = await makeNextProject();
const started: Program[] = [];

/** Starts a program of a release. */
function start(release: "old" | "next", module: string, ...args: string[]): Program {
  const program = release === "old"
    ? new Program(OWN, module, { args })
    : new Program(other, module, { args, project, env: { RELEASE: "next" } });
  started.push(program);
  return program;
}

async function consumer(release: "old" | "next"): Promise<Program> {
  const program = start(release, "./consumer.ts", "roll", "default");
  await program.line("ready");
  return program;
}

/** Ends a program before the others. */
async function end(program: Program, signal: "SIGTERM" | "SIGKILL"): Promise<number | string> {
  started.splice(started.indexOf(program), 1);
  program.kill(signal);
  return await program.ended();
}

/** Waits until a release has run so many tasks more. */
async function progress(release: "old" | "next", more: number): Promise<void> {
  const count = async () => Number((await ff.sql`SELECT count(*) FROM ledger WHERE release = ${release}`)[0]!.count);
  const before = await count();
  const deadline = Date.now() + 30_000;
  while (await count() < before + more) {
    if (Date.now() > deadline) {
      throw new Error(`The ${release} release ran fewer than ${more} tasks in 30 s`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Ends what schedules, and tells how many tasks it has scheduled. */
async function stopLoad(load: Program): Promise<{ writes: number; added: number }> {
  load.write("stop");
  const counts = await load.line("writes");
  started.splice(started.indexOf(load), 1);
  return counts;
}

try {
  await withPrograms(started, async () => {
    const oldConsumers = [await consumer("old"), await consumer("old")];
    const oldLoad = start("old", "./roll_load.ts", "0");
    let nextLoad: Program;
    let nextConsumers: Program[];
    await progress("old", 100);

    await check(`the next release on ${other} does not run before the schema is migrated`, async () => {
      const early = start("next", "./consumer.ts", "roll", "default");
      started.splice(started.indexOf(early), 1);
      assert.equal(await early.ended(), 1);
      assert.match(early.errors, /SchemaMismatch/);
    });

    await check(`the old release on ${OWN} runs on while the next one migrates, and afterwards`, async () => {
      const migration = start("next", "./migrate.ts");
      started.splice(started.indexOf(migration), 1);
      assert.deepEqual((await migration.line("applied")).applied, ["next"]);
      assert.equal(await migration.ended(), 0);
      await progress("old", 100);
    });

    await check("both releases run side by side, and what only the next one knows waits for it", async () => {
      nextLoad = start("next", "./roll_load.ts", "1000000");
      await progress("old", 100);
      const [{ count }] = await ff.sql`SELECT count(*) FROM ledger WHERE name = 'added'`;
      assert.equal(Number(count), 0);
      nextConsumers = [await consumer("next")];
      await Promise.all([progress("old", 100), progress("next", 100)]);
      const versions = await ff.sql`SELECT DISTINCT version FROM firefly.consumer ORDER BY version`;
      assert.deepEqual(versions.map(({ version }) => version), ["0.1.0", NEXT]);
    });

    await check("an old consumer that is stopped ends well, and one that is killed loses nothing", async () => {
      assert.equal(await end(oldConsumers[0]!, "SIGTERM"), 0);
      assert.equal(await end(oldConsumers[1]!, "SIGKILL"), "SIGKILL");
      nextConsumers.push(await consumer("next"));
      await progress("next", 150);
    });

    await check("the old release runs again after a roll back, on the newer schema", async () => {
      const again = await consumer("old");
      for (const next of nextConsumers) {
        assert.equal(await end(next, "SIGTERM"), 0);
      }
      await progress("old", 100);
      nextConsumers = [await consumer("next")];
      assert.equal(await end(again, "SIGTERM"), 0);
    });

    await check("every task ran once, nothing is lost or doubled", async () => {
      const [old, next] = [await stopLoad(oldLoad), await stopLoad(nextLoad)];
      const scheduled = old.writes + next.writes + next.added;
      const deadline = Date.now() + 30_000;
      while (Date.now() < deadline && ((await ff.tasks.counts()).default?.completed ?? 0) < scheduled) {
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      const { completed, failed, created, running } = (await ff.tasks.counts()).default!;
      assert.deepEqual({ completed, failed, created, running }, {
        completed: scheduled,
        failed: 0,
        created: 0,
        running: 0,
      });
      const rows = await ff.sql`
        SELECT name, release, count(*)::int AS rows, count(DISTINCT n)::int AS numbers FROM ledger GROUP BY name, release
      `;
      const all = await ff
        .sql`SELECT name, count(*)::int AS rows, count(DISTINCT n)::int AS numbers FROM ledger GROUP BY name ORDER BY name`;
      assert.deepEqual([...all].map((row) => ({ ...row })), [{ name: "added", rows: next.added, numbers: next.added }, {
        name: "write",
        rows: old.writes + next.writes,
        numbers: old.writes + next.writes,
      }]);
      assert.deepEqual(rows.map(({ name, release }) => `${name} ${release}`).sort(), [
        "added next",
        "write next",
        "write old",
      ]);
    });
  });
} finally {
  await rm(project, { recursive: true });
  await ff.close();
}

import { assert, assertEquals } from "@std/assert";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import type { CliProcess } from "../support/process.ts";
import { until } from "../support/waiting.ts";
import { without } from "../support/without.ts";
import { startConsumerOf } from "../faults/consumers.ts";
import type { Deployed } from "./deploys/tasks.ts";

/**
 * Two releases of an application that has tasks with steps, as consumers in processes of their own, which are killed
 * while both are there.
 */

const ORDERS = 12;
/** How long a busy machine may take for anything, in milliseconds. */
const LONG = 120_000;

async function database(): Promise<TestDatabase> {
  const db = await testDatabase();
  await db.sql`CREATE TABLE written (task_id bigint, name text, deployed text)`;
  return db;
}

function deploy(db: TestDatabase, deployed: Deployed, root?: string): CliProcess {
  return startConsumerOf(db, {
    tasks: "../releases/deploys/tasks.ts",
    lease: "3s",
    args: ["--no-watchdog", "--release", deployed, "--concurrency", String(ORDERS)],
    env: { DEPLOYED: deployed },
    ...(root === undefined ? {} : { root }),
  });
}

async function scheduleOrders({ sql }: TestDatabase, count: number, pause: number): Promise<void> {
  await sql`
    INSERT INTO firefly.task (func_name, params)
    SELECT 'deploy.order', firefly.encode(jsonb_build_array(${pause}::int)) FROM generate_series(1, ${count})
  `;
}

/** What each order has written, and its steps: how many orders there are of each kind. */
async function kindsOf({ sql }: TestDatabase): Promise<Record<string, number>> {
  const rows = await sql<{ kind: string; count: number }[]>`
    SELECT kind, count(*)::int AS count
    FROM (
      SELECT concat_ws(' | ', status,
        (SELECT string_agg(name || ' by ' || deployed, ', ' ORDER BY ctid) FROM written WHERE task_id = task.id),
        (SELECT string_agg(name, ', ' ORDER BY seq) FROM firefly.step WHERE task_id = task.id)
      ) AS kind
      FROM firefly.task
    ) AS task
    GROUP BY kind
  `;
  return Object.fromEntries(rows.map(({ kind, count }) => [kind, count]));
}

async function countOf({ sql }: TestDatabase, status: string): Promise<number> {
  return (await sql`SELECT FROM firefly.task WHERE status = ${status}`).count;
}

Deno.test("a renamed step stops before it runs in a rolling deploy, until a release has its old name as an alias", async () => {
  await using db = await database();
  await using old = deploy(db, "old");
  await scheduleOrders(db, ORDERS, 60_000);
  await until(async () => (await db.sql`SELECT FROM firefly.step`).count === ORDERS, LONG);
  await using renamed = deploy(db, "renamed");
  await until(async () => (await db.sql`SELECT FROM firefly.consumer`).count === 2, LONG);
  old.kill("SIGKILL");

  // Those that the old release has begun rest; those that it has not, run.
  await until(async () => (await db.sql`SELECT FROM firefly.task WHERE snoozes >= 1`).count === ORDERS, LONG);
  await scheduleOrders(db, ORDERS, 0);
  await until(async () => await countOf(db, "completed") === ORDERS, LONG);
  renamed.kill("SIGKILL");
  assertEquals(await kindsOf(db), {
    "created | charge by old | charge": ORDERS,
    "completed | charge by renamed, pack by renamed, end by renamed | charge card, pack, label": ORDERS,
  });
  const [row] = await db.sql`
    SELECT id, errors -> -1 ->> 'message' AS message, COALESCE(retry_attempts, 0) AS counted
    FROM firefly.task WHERE status = 'created' ORDER BY id LIMIT 1
  `;
  assertEquals({ ...row }, {
    id: "1",
    message: 'Cannot begin step "charge card" of task 1 as its step "charge", which has run, was not asked for: ' +
      'renamed steps need aliases: ["charge"], other changes a higher version',
    counted: 0,
  });

  await using _aliased = deploy(db, "aliased");
  await until(async () => await countOf(db, "created") === 0, LONG);
  assertEquals(await kindsOf(db), {
    "completed | charge by old, pack by aliased, end by aliased | charge, pack, label": ORDERS,
    "completed | charge by renamed, pack by renamed, end by renamed | charge card, pack, label": ORDERS,
  });
});

/** How many orders are done while both versions are there, and how often a consumer of each is killed. */
const [MIXED, KILLS] = [60, 3];

/**
 * Runs a lower version and a higher one beside each other, and kills a consumer of each in turn. Returns the orders that
 * are wrong, and how often the lower version handed one back.
 */
async function mix(root?: string): Promise<{ wrong: Record<string, unknown>[]; handedBack: number; both: number }> {
  await using db = await database();
  const members: CliProcess[] = [];
  const start = (deployed: Deployed) => {
    const member = deploy(db, deployed, root);
    members.push(member);
    return member;
  };
  try {
    await scheduleOrders(db, MIXED, 150);
    let [lower, higher] = [start("old"), start("second")];
    for (let kill = 0; kill < KILLS; kill++) {
      for (const deployed of ["second", "old"] as const) {
        const before = await countOf(db, "completed");
        await scheduleOrders(db, MIXED / 2 / KILLS, 150);
        await until(async () => {
          const { count } = await db.sql`SELECT FROM firefly.consumer WHERE lease_until > now()`;
          return count >= 2 && await countOf(db, "completed") > before;
        }, LONG);
        (deployed === "old" ? lower : higher).kill("SIGKILL");
        if (deployed === "old") lower = start("old");
        else higher = start("second");
      }
    }
    // The deployment ends: the lower version is stopped, and the higher one does what is left.
    await until(async () => await countOf(db, "created") < ORDERS, LONG);
    lower.kill("SIGTERM");
    await lower.exited;
    await until(async () => await countOf(db, "created") === 0, LONG);
    const rows = await db.sql`
      SELECT id, status, errors::text,
        ARRAY(SELECT name FROM written WHERE task_id = task.id ORDER BY name) AS written,
        ARRAY(SELECT name FROM firefly.step WHERE task_id = task.id ORDER BY name) AS steps,
        ARRAY(SELECT version FROM firefly.step WHERE task_id = task.id ORDER BY seq) AS versions,
        ARRAY(SELECT seq FROM firefly.step WHERE task_id = task.id ORDER BY seq) AS seqs,
        (SELECT deployed FROM written WHERE task_id = task.id AND name = 'end') AS ended_by
      FROM firefly.task ORDER BY id
    `;
    const wrong = rows.filter(({ status, written, steps, versions, seqs, ended_by }) => {
      const weighed = ended_by === "second" ? ["weigh"] : [];
      return status !== "completed" || `${written}` !== `${["charge", "end", "pack", ...weighed]}` ||
        `${steps}` !== `${["charge", "label", "pack", ...weighed]}` ||
        `${seqs}` !== `${steps.map((_: string, i: number) => i + 1)}` ||
        // No step of a lower version follows one of a higher.
        `${versions}` !== `${versions.toSorted()}` || ended_by === "old" && versions.includes(2);
    });
    const [counts] = await db.sql`
      SELECT count(*) FILTER (WHERE errors::text LIKE '%as version 2 has run steps of it%')::int AS handed_back,
        count(*) FILTER (WHERE id IN (SELECT task_id FROM firefly.step GROUP BY task_id HAVING min(version) < max(version)))::int
          AS both
      FROM firefly.task
    `;
    return { wrong: wrong.map((row) => ({ ...row })), handedBack: counts!.handed_back, both: counts!.both };
  } finally {
    await Promise.all(members.map((member) => member[Symbol.asyncDispose]()));
  }
}

Deno.test("a higher version goes on with what a lower one began, and not the other way around, while both are killed", async () => {
  const { wrong, handedBack, both } = await mix();

  console.log(`${handedBack} tasks handed back by the lower version, ${both} begun by it and ended by the higher`);
  assertEquals(wrong, []);
  assert(handedBack > 0, "none was handed back");
  assert(both > 0, "the higher version went on with none");
});

Deno.test("a lower version does harm if it does not hand back what a higher one began", async () => {
  await using copy = await without({
    file: "src/steps/load_steps.ts",
    find: "if (newest > version) {",
    replace: "if (newest > version + 1) {",
  });

  const { wrong } = await mix(copy.root);

  assert(wrong.length > 0, "no step of a lower version follows one of a higher");
});

import { assert, assertEquals } from "@std/assert";
import { current, DatabaseUnreachable, transaction } from "../../mod.ts";
import type { Firefly } from "../../src/firefly/firefly.ts";
import { defineTask, type Handler } from "../../src/task/definition.ts";
import { type Bench, bench } from "../support/attempt_bench.ts";
import { slowDownBegin } from "../support/transactions.ts";
import { until } from "../support/waiting.ts";

/** Creates tables whose rows raise the SQLSTATE that they hold: at once, or at COMMIT. */
async function withRaisingTables({ db }: Bench): Promise<void> {
  await db.sql.unsafe(`
    CREATE FUNCTION raise_code() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'it was raised' USING ERRCODE = NEW.code; END $$;
    CREATE TABLE now (code text);
    CREATE TRIGGER raise BEFORE INSERT ON now FOR EACH ROW EXECUTE FUNCTION raise_code();
    CREATE TABLE later (code text);
    CREATE CONSTRAINT TRIGGER raise AFTER INSERT ON later DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION raise_code();
    CREATE TABLE effect (n int)`);
}

/** Makes each statement fail that writes to `firefly.task` under `condition`, with `code`. */
async function failOwn({ db }: Bench, event: "INSERT" | "UPDATE", condition: string, code: string): Promise<void> {
  await db.sql.unsafe(`
    CREATE OR REPLACE FUNCTION fail_own() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN IF ${condition} THEN RAISE EXCEPTION 'it was raised' USING ERRCODE = '${code}'; END IF; RETURN NEW; END $$;
    CREATE OR REPLACE TRIGGER fail_own BEFORE ${event} ON firefly.task FOR EACH ROW EXECUTE FUNCTION fail_own()`);
}

/** What became of an attempt without retries: put off, uncounted, or failed. */
async function endOf(test: Bench, handler: Handler): Promise<string> {
  const { ending, record: { status, retry_attempts, snoozes } } = await test.run(handler);
  if (ending === "snoozed" && status === "created" && retry_attempts === 0 && snoozes === 1) return "put off";
  return ending === status ? ending : `${ending} ${status} ${retry_attempts} ${snoozes}`;
}

Deno.test("start() puts a task off, uncounted, whose transaction conflicts with another one at COMMIT", async () => {
  await using test = await bench();
  await withRaisingTables(test);
  const ends: Record<string, string> = {};
  for (const code of ["40001", "40P01", "23514", "P0001"]) {
    ends[code] = await endOf(test, async () => void await current().sql`INSERT INTO later VALUES (${code})`);
  }

  assertEquals(ends, { "40001": "put off", "40P01": "put off", "23514": "failed", P0001: "failed" });
});

Deno.test("start() counts a conflict that a statement of the handler met, which it could have caught", async () => {
  await using test = await bench();
  await withRaisingTables(test);
  const ends: Record<string, string> = {};
  for (const code of ["40001", "40P01", "55P03", "57014", "08006", "53400"]) {
    ends[code] = await endOf(test, async () => void await current().sql`INSERT INTO now VALUES (${code})`);
  }

  assertEquals(new Set(Object.values(ends)), new Set(["failed"]));
});

Deno.test("start() puts a task off, uncounted, when the statement that completes it in its transaction fails", async () => {
  await using test = await bench();
  await withRaisingTables(test);
  const ends: Record<string, string> = {};
  for (const code of ["40001", "40P01", "55P03", "57014", "25006", "53200", "58000", "23514"]) {
    await failOwn(test, "UPDATE", "NEW.status = 'completed'", code);
    ends[code] = await endOf(test, async () => void await current().sql`INSERT INTO effect VALUES (1)`);
  }

  const { "23514": refused, ...others } = ends;
  assertEquals([refused, new Set(Object.values(others))], ["failed", new Set(["put off"])]);
  assertEquals((await test.db.sql`SELECT FROM effect`).length, 0);
});

Deno.test("start() puts a task off, uncounted, when its handler schedules and that statement conflicts", async () => {
  await using test = await bench();
  const instance = test.env.instance as Firefly;
  const followUp = defineTask("test.follow_up", () => {});
  const schedule = async (tx?: null) => void await instance.schedule(followUp, [[]], tx === undefined ? {} : { tx });
  await failOwn(test, "INSERT", "NEW.func_name = 'test.follow_up'", "40P01");

  const ends = [
    await endOf(test, () => schedule()), // in the handler's transaction
    await endOf(test, () => transaction(() => schedule())), // in a savepoint of it
    await endOf(test, () => schedule(null)), // on the pool, which gives up after some tries
    await endOf(test, () =>
      schedule().catch((cause) => {
        throw new Error("wrapped", { cause });
      })),
  ];

  assertEquals(ends, ["put off", "put off", "put off", "put off"]);
});

Deno.test("start() puts a task off, uncounted, whose statement was prepared before its table changed", async () => {
  await using test = await bench();
  await test.db.sql`CREATE TABLE customer (id int, name text)`;
  const read = async () => void await current().sql`SELECT * FROM customer WHERE id = ${1}`;
  assertEquals(await endOf(test, read), "completed");

  await test.db.sql`ALTER TABLE customer ADD COLUMN email text`;

  assertEquals([await endOf(test, read), await endOf(test, read)], ["put off", "completed"]);
});

Deno.test("start() puts a task off, uncounted, that met a server which takes no writes, unless it chose not to write", async () => {
  await using test = await bench();
  await withRaisingTables(test);
  const write = () => current().sql`INSERT INTO effect VALUES (1)`;
  const set = (text: string) => async () => {
    await current().sql.unsafe(text);
    await write();
  };

  const ends = [
    await endOf(test, async () => void await current().sql`INSERT INTO now VALUES ('25006')`),
    await endOf(test, set("SET TRANSACTION READ ONLY")),
    await endOf(test, set("SET LOCAL transaction_read_only = on")),
    await endOf(test, () => transaction(async () => await set("SET TRANSACTION READ ONLY")())),
  ];

  assertEquals(ends, ["put off", "failed", "failed", "failed"]);
});

Deno.test("start() puts a task off, uncounted, whose BEGIN was cancelled, whatever its handler made of that", async () => {
  await using test = await bench();
  await withRaisingTables(test);
  const write = async () => void await current().sql`INSERT INTO effect VALUES (1)`;
  const handlers: Handler[] = [
    write,
    () => write().catch(() => {}),
    () =>
      write().catch(() => {
        throw new Error("of its own");
      }),
  ];
  const ends: string[] = [];
  for (const handler of handlers) {
    // Two that complete: then BEGIN is sent together with the first statement.
    for (let i = 0; i < 2; i++) assertEquals(await endOf(test, () => void current().sql`SELECT 1`), "completed");
    slowDownBegin(test.proxy);
    const end = endOf(test, handler);
    const sleeping = () =>
      test.db.sql`
        SELECT pg_cancel_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event = 'PgSleep'
      `;
    await until(async () => (await sleeping()).count > 0);
    ends.push(await end);
    test.proxy.tamper = (text) => text;
  }

  assertEquals([ends, (await test.db.sql`SELECT FROM effect`).count], [Array(3).fill("put off"), 0]);
});

Deno.test("start() puts a task off, uncounted, whose handler threw that a database is unreachable", async () => {
  await using test = await bench();
  const reject = (refused: boolean) => () => {
    throw new Error("wrapped", { cause: new DatabaseUnreachable("gone", { refused }) });
  };

  assertEquals([await endOf(test, reject(false)), await endOf(test, reject(true))], ["put off", "failed"]);
});

Deno.test("a handler's transaction is at READ COMMITTED whatever the default, and at another level if it says so", async () => {
  await using test = await bench();
  const [row] = await test.db.sql`SELECT current_database() AS name`;
  await test.db.sql.unsafe(`ALTER DATABASE ${row!.name} SET default_transaction_isolation = 'serializable'`);
  const levels: string[] = [];
  const show = async () => {
    const [row] = await current().sql<{ level: string }>`SELECT current_setting('transaction_isolation') AS level`;
    levels.push(row!.level);
  };
  const set = async () => {
    await current().sql`SET TRANSACTION ISOLATION LEVEL REPEATABLE READ`;
    await show();
  };

  // Twice each: on a new session, whose process is asked for, and on one that is used again.
  for (const handler of [set, show, set, show]) assert((await test.run(handler)).ending === "completed");

  assertEquals(levels, ["repeatable read", "read committed", "repeatable read", "read committed"]);
});

import { assert, assertEquals, assertRejects } from "@std/assert";
import { Firefly, task } from "../../mod.ts";
import { resolveConnection } from "../../src/database/settings.ts";
import { Database } from "../../src/database/pools.ts";
import { DatabaseUnreachable } from "../../src/errors.ts";
import { Emitter } from "../../src/events.ts";
import { Listener } from "../../src/notify/listener.ts";
import { migrate } from "../../src/schema/migrator.ts";
import { Session } from "../../src/database/session.ts";
import { Sessions } from "../../src/database/sessions.ts";
import { runTransaction, Transaction } from "../../src/database/transaction.ts";
import { notify } from "../../src/store/listen.ts";
import { testDatabase } from "../support/database.ts";
import { isLeftOut } from "../faults/fault.ts";
import { type PoolMode, startPgBouncer } from "../faults/pgbouncer.ts";
import { taskName } from "../support/instance.ts";
import { until } from "../support/waiting.ts";
import { TcpProxy } from "../support/tcp_proxy.ts";

const ignore = await isLeftOut("Tests of poolers", { needs: ["pgbouncer"] });

/** A test that needs PgBouncer. */
function test(name: string, fn: () => Promise<void>): void {
  Deno.test({ name, ignore, fn });
}

/** Listens through PgBouncer, and notes what is told until `event` is. */
async function listenThrough(mode: PoolMode, event: string): Promise<string[]> {
  await using db = await testDatabase({ migrated: false });
  await using bouncer = await startPgBouncer(db.url, mode);
  const opened = await Database.open(await resolveConnection(bouncer.through(db.url)), "firefly");
  const events = new Emitter();
  const told: string[] = [];
  for (const name of ["listener.connected", "listener.lost", "listener.unavailable"] as const) {
    events.on(name, () => told.push(name));
  }
  const listener = new Listener((options) => new Session(opened.settings, options), {
    schema: "firefly",
    events,
    echo: (channel) => notify(opened.sql, channel),
  });
  let rings = 0;
  try {
    listener.subscribe(["firefly_a"], (channel) => void (channel && rings++));
    await until(() => told.includes(event));
    await db.sql.notify("firefly_a", "");
    if (event === "listener.connected") await until(() => rings === 1);
    else await new Promise((resolve) => setTimeout(resolve, 1000));
    return told;
  } finally {
    await listener.end();
    await opened.end();
  }
}

test("Database.open() knows a direct connection, and that a pooler stands in between", async () => {
  await using db = await testDatabase({ migrated: false });
  const tolerant = {
    ignore_startup_parameters: "statement_timeout,plan_cache_mode,enable_seqscan,enable_bitmapscan,jit",
  };
  const found: Record<string, boolean> = {};
  async function look(name: string, url: string): Promise<void> {
    const opened = await Database.open(await resolveConnection(url), "firefly");
    const rows = await Promise.all([1, 2, 3].map((n) => opened.sql`SELECT ${n}::int AS n`));
    assertEquals(rows.map(([row]) => row!.n), [1, 2, 3]);
    found[name] = Boolean(opened.settings.pooled);
    await opened.end();
  }
  await look("direct", db.url);
  await look("told by the URL", `${db.url}?pgbouncer=true`);
  for (const mode of ["session", "transaction"] as const) {
    await using strict = await startPgBouncer(db.url, mode);
    await look(mode, strict.through(db.url));
    await using lax = await startPgBouncer(db.url, mode, tolerant);
    await look(`${mode}, settings dropped`, lax.through(db.url));
  }
  await using proxy = await TcpProxy.start(db.url);
  proxy.tamper = (text) => text.replace("plan_cache_mode\0force_generic_plan", "application_name\0what is not asked");
  await look("settings dropped alone", proxy.through(db.url));
  await db.sql.unsafe(`ALTER DATABASE ${new URL(db.url).pathname.slice(1)} SET plan_cache_mode = force_generic_plan`);
  await using bouncer = await startPgBouncer(db.url, "transaction", tolerant);
  await look("transaction, settings there", bouncer.through(db.url));

  assertEquals(found, {
    "direct": false,
    "told by the URL": true,
    "session": true,
    "session, settings dropped": true,
    "transaction": true,
    "transaction, settings dropped": true,
    "settings dropped alone": true,
    "transaction, settings there": true,
  });
});

test("Listener hears through a pooler that keeps sessions", async () => {
  assertEquals(await listenThrough("session", "listener.connected"), ["listener.connected"]);
});

test("Listener tells once that it is unavailable behind a transaction pooler, where its own NOTIFY would reach it", async () => {
  assertEquals(await listenThrough("transaction", "listener.unavailable"), ["listener.unavailable"]);
});

test("a task is scheduled, run and awaited through a pooler, in a session and in a transaction of it", async () => {
  for (const mode of ["session", "transaction"] as const) {
    await using db = await testDatabase({ migrated: false });
    await using bouncer = await startPgBouncer(db.url, mode);
    await using ff = new Firefly({ database: bouncer.through(db.url) });
    const double = task(taskName(), async (n: number) => {
      const { sql } = ff;
      const [row] = await sql`SELECT ${n}::int * 2 AS twice`;
      return row!.twice as number;
    });
    await ff.migrate();
    await using consumer = ff.consume({ tasks: [double], pollInterval: "200ms" });
    await consumer.ready;

    const records = await ff.run(() => Promise.all(Array.from({ length: 20 }, (_, n) => double.schedule(n))));
    const results = await Promise.all(records.map((record) => record.result({ timeout: "20s" })));

    assertEquals(results, Array.from({ length: 20 }, (_, n) => n * 2));
  }
});

test("Transaction guards no session behind a pooler, whose connections others use, and sends BEGIN before anything else", async () => {
  for (const mode of ["session", "transaction"] as const) {
    await using db = await testDatabase({ migrated: false });
    await using bouncer = await startPgBouncer(db.url, mode, { default_pool_size: "1" });
    await using proxy = await TcpProxy.start(bouncer.through(db.url));
    const settings = await resolveConnection(proxy.through(db.url));
    const opened = await Database.open(settings, "firefly");
    await opened.end();
    const sessions = new Sessions(() => new Session(opened.settings), 1);
    await db.sql`CREATE TABLE ledger (i integer)`;
    const requests: string[] = [];
    proxy.onRequest = (text) => requests.push(text);
    const modes = new Set<unknown>();

    for (let i = 0; i < 4; i++) {
      await runTransaction(Transaction.on(sessions, { schema: "firefly" }), async ({ sql }) => {
        const [row] = await sql`SELECT current_setting('default_transaction_read_only') AS mode`;
        modes.add(row.mode);
        await sql`INSERT INTO ledger VALUES (${i})`;
      });
    }
    sessions.end();

    assertEquals([...modes], ["off"]);
    assertEquals(
      requests.filter((text) => text.includes("BEGIN ISOLATION") && /SELECT current_setting/.test(text)),
      [],
    );
    assertEquals((await db.sql`SELECT FROM ledger`).count, 4);
  }
});

test("migrate() through a transaction pooler leaves no lock on the server's connections", async () => {
  await using db = await testDatabase({ migrated: false });
  await using bouncer = await startPgBouncer(db.url, "transaction");
  const settings = { ...await resolveConnection(bouncer.through(db.url)), pooled: true };

  const [one, two] = await Promise.all([migrate(settings, "firefly"), migrate(settings, "firefly")]);
  await until(async () => {
    const [row] = await db.sql`SELECT count(*)::int AS held FROM pg_locks
      WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`;
    return row!.held === 0;
  }, 3000);

  assert(one.length > 0 !== two.length > 0);
});

test("Database takes what a pooler refuses by itself for an outage, not for an error of the statement", async () => {
  await using db = await testDatabase({ migrated: false });
  await using bouncer = await startPgBouncer(db.url, "transaction");
  const url = Object.assign(new URL(bouncer.through(db.url)), { username: "stranger" }).href;
  const opened = new Database({ ...await resolveConnection(url), pooled: true }, "firefly");

  await assertRejects(() => opened.sql`SELECT 1`, DatabaseUnreachable, "Cannot reach the database");

  await opened.end();
});

import { assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import { resolveConnection } from "../../src/database/settings.ts";
import { withDeadline } from "../../src/database/deadline.ts";
import { DatabaseUnreachable } from "../../src/errors.ts";
import { Session } from "../../src/database/session.ts";
import { testDatabase } from "../support/database.ts";
import { until } from "../support/waiting.ts";
import { TcpProxy } from "../support/tcp_proxy.ts";
import { connections, pidOf, terminate } from "../support/connections.ts";

Deno.test("Session.run() runs nothing outside of the transaction in which its connection was lost, 50 times", async () => {
  await using db = await testDatabase({ migrated: false });
  await db.sql`CREATE TABLE ledger (i integer)`;
  for (let i = 0; i < 50; i++) {
    const session = new Session(db.settings);
    await session.run((client) => client`BEGIN`);
    await session.run((client) => client`INSERT INTO ledger VALUES (${i})`);
    const pid = await pidOf(session);
    // Sent while the connection is up, each with a text of its own, which makes the driver keep those behind it.
    const sent = [1, 2, 3].map((n) =>
      session.run((client) => client.unsafe(`INSERT INTO ledger SELECT $1::integer FROM pg_sleep(0.01) AS s${n}`, [i]))
    );
    await terminate(db, pid);

    const errors = await withDeadline(Promise.all(sent.map((statement) => statement.catch((error) => error))), 5000);
    assertInstanceOf(errors.at(-1), DatabaseUnreachable);
    await assertRejects(() => session.run((client) => client`INSERT INTO ledger VALUES (${i})`), DatabaseUnreachable);
    assertInstanceOf(session.lost, DatabaseUnreachable);
  }
  await until(async () => await connections(db) === 0);
  // A connection that the driver makes anew comes after a while.
  await new Promise((resolve) => setTimeout(resolve, 300));

  assertEquals([await connections(db), (await db.sql`SELECT FROM ledger`).length], [0, 0]);
});

Deno.test("Session.run() runs statements one after another, in the order in which they were sent", async () => {
  await using db = await testDatabase({ migrated: false });
  const session = new Session(db.settings);
  await session.run((client) => client`CREATE TEMPORARY TABLE step (at serial, i integer)`);

  await Promise.all([3, 1, 2].map((i) => session.run((client) => client`INSERT INTO step (i) VALUES (${i})`)));
  const rows = await session.run<{ i: number }>((client) => client`SELECT i FROM step ORDER BY at`);
  session.discard();

  assertEquals(rows.map(({ i }) => i), [3, 1, 2]);
});

Deno.test("Session.run() leaves the server's own errors as they are, and the session usable", async () => {
  await using db = await testDatabase({ migrated: false });
  const session = new Session(db.settings);

  await assertRejects(() => session.run((client) => client`SELECT 1 / 0`), Error, "division by zero");
  const raise = "DO $$ BEGIN RAISE EXCEPTION 'made up' USING ERRCODE = '08006'; END $$";
  await assertRejects(() => session.run((client) => client.unsafe(raise)), Error, "made up");

  assertEquals([session.lost, typeof await pidOf(session)], [undefined, "number"]);
  session.discard();
});

Deno.test("Session.run() loses a connection that misses its deadline, and opens no other", async () => {
  await using db = await testDatabase({ migrated: false });
  await using proxy = await TcpProxy.start(db.url);
  const session = new Session(await resolveConnection(proxy.through(db.url)));
  await pidOf(session);
  proxy.mode = "hole";

  await assertRejects(() => session.run((client) => client`SELECT 1`, 300), DatabaseUnreachable, "no answer in 0.3 s");
  proxy.mode = "pass";

  await assertRejects(() => session.run((client) => client`SELECT 1`), DatabaseUnreachable);
  assertEquals(proxy.accepted, 1);
});

Deno.test("Session.run() survives a server that closes every connection at once", async () => {
  await using db = await testDatabase({ migrated: false });
  await using proxy = await TcpProxy.start(db.url);
  proxy.mode = "reject";
  const session = new Session(await resolveConnection(proxy.through(db.url)));

  await assertRejects(() => session.run((client) => client`SELECT 1`, 500), DatabaseUnreachable, "no answer in 0.5 s");
});

Deno.test("Session.run() survives connections that break off while they are made", async () => {
  await using db = await testDatabase({ migrated: false });
  await using proxy = await TcpProxy.start(db.url);
  const settings = await resolveConnection(proxy.through(db.url));
  for (let messages = 0; messages < 3; messages++) {
    let left = messages;
    proxy.onRequest = () => left-- === 0 && proxy.cut({ reset: true });
    const session = new Session(settings);
    const list = session.run((client) => client`SELECT ${["a"]}::text[]`, 5000);
    if (messages < 2) await assertRejects(() => list, DatabaseUnreachable);
    else await list.catch(() => {});
    session.discard();
  }
});

Deno.test("Session settles statements that are sent between the error and the end of its connection", async () => {
  await using db = await testDatabase({ migrated: false });
  await using proxy = await TcpProxy.start(db.url);
  const settings = await resolveConnection(proxy.through(db.url));
  for (let i = 0; i < 20; i++) {
    const session = new Session(settings);
    await session.run((client) => client`BEGIN`);
    const outcomes: Promise<unknown>[] = [];
    const timer = setInterval(() => outcomes.push(session.run((client) => client`SELECT 1`).catch(() => {})), 0);
    await until(() => outcomes.length > 3);
    proxy.cut({ reset: true });
    await until(() => session.lost !== undefined);
    clearInterval(timer);

    await withDeadline(Promise.all(outcomes), 5000);
  }
});

Deno.test("Session calls its listener once when its connection is lost", async () => {
  await using db = await testDatabase({ migrated: false });
  const session = new Session(db.settings);
  let told = 0;
  const lost = new Promise<void>((resolve) => session.onLost = () => (told++, resolve()));

  await terminate(db, await pidOf(session));
  await lost;
  session.discard();

  assertEquals(told, 1);
});

Deno.test("Session.discard() in the middle of a statement terminates the server's process", async () => {
  await using db = await testDatabase({ migrated: false });
  const ended: number[] = [];
  const session = new Session(db.settings, { terminate: (pid) => ended.push(pid) });
  session.pid = await pidOf(session);
  const { pid } = session;
  const statement = assertRejects(() => session.run((client) => client`SELECT pg_sleep(1)`), DatabaseUnreachable);
  await until(async () =>
    (await db.sql`SELECT FROM pg_stat_activity WHERE pid = ${pid} AND state = 'active'`).length > 0
  );

  session.discard();
  await statement;

  assertEquals(ended, [pid]);
  await terminate(db, pid);
});

Deno.test("Session.discard() between statements only closes the connection", async () => {
  await using db = await testDatabase({ migrated: false });
  const ended: number[] = [];
  const session = new Session(db.settings, { terminate: (pid) => ended.push(pid) });
  session.pid = await pidOf(session);

  session.discard();

  await until(async () => await connections(db) === 0);
  assertEquals(ended, []);
  await assertRejects(() => session.run((client) => client`SELECT 1`), DatabaseUnreachable, "discarded");
});

Deno.test("Session.ping() keeps an idle transaction alive, and is silent when the connection is lost", async () => {
  await using db = await testDatabase({ migrated: false });
  const session = new Session(db.settings);
  await session.run((client) => client.unsafe("BEGIN; SET LOCAL idle_in_transaction_session_timeout = 400"));

  for (let i = 0; i < 8; i++) {
    session.ping();
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assertEquals(session.lost, undefined);

  await until(() => session.lost !== undefined);
  session.ping();
});

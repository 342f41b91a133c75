import { assert, assertEquals, assertLess } from "@std/assert";
import { Session } from "../../src/database/session.ts";
import { Sessions } from "../../src/database/sessions.ts";
import { testDatabase } from "../support/database.ts";
import { until } from "../support/waiting.ts";
import { connections, pidOf, terminate } from "../support/connections.ts";

Deno.test("Sessions.take() uses a session again that was given back", async () => {
  await using db = await testDatabase({ migrated: false });
  const sessions = new Sessions(() => new Session(db.settings), 2);
  const first = await sessions.take();
  const pid = await pidOf(first);
  sessions.giveBack(first, true);

  const second = await sessions.take();

  assertEquals(await pidOf(second), pid);
  sessions.giveBack(second, true);
  sessions.end();
});

Deno.test("Sessions.giveBack() discards a session that is in the middle of a statement", async () => {
  await using db = await testDatabase({ migrated: false });
  const sessions = new Sessions(() => new Session(db.settings), 2);
  const first = await sessions.take();
  sessions.giveBack(first, false);

  const second = await sessions.take();

  assert(first.lost && second !== first);
  sessions.giveBack(second, true);
  sessions.end();
});

Deno.test("Sessions.take() skips a session that was lost while it was unused", async () => {
  await using db = await testDatabase({ migrated: false });
  const sessions = new Sessions(() => new Session(db.settings), 2);
  const first = await sessions.take();
  const pid = await pidOf(first);
  sessions.giveBack(first, true);
  await terminate(db, pid);
  await until(() => first.lost !== undefined);

  const second = await sessions.take();

  assert(await pidOf(second) !== pid);
  sessions.giveBack(second, true);
  sessions.end();
});

Deno.test("Sessions keeps an unused session for `idleMs`, and reuses the one that was used last", async () => {
  await using db = await testDatabase({ migrated: false });
  const sessions = new Sessions(() => new Session(db.settings), 2, { idleMs: 500 });
  const [first, second] = [await sessions.take(), await sessions.take()];
  await Promise.all([pidOf(first), pidOf(second)]);
  sessions.giveBack(first, true);
  sessions.giveBack(second, true);
  const start = performance.now();
  let uses = 0;

  await until(async () => {
    const session = await sessions.take();
    assert(session === second);
    uses++;
    sessions.giveBack(session, true);
    return first.lost !== undefined;
  });

  assert(performance.now() - start > 490 && uses > 5, `${performance.now() - start} ms, ${uses} times`);
  sessions.end();
});

Deno.test("Sessions.take() waits while `max` sessions are taken, and then serves all", async () => {
  await using db = await testDatabase({ migrated: false });
  let opened = 0;
  const sessions = new Sessions(() => (opened++, new Session(db.settings)), 2);
  let [taken, most] = [0, 0];

  await Promise.all(Array.from({ length: 20 }, async (_, i) => {
    const session = await sessions.take();
    most = Math.max(most, ++taken);
    await session.run((client) => client`SELECT ${i}::integer`);
    taken--;
    sessions.giveBack(session, i % 5 !== 0);
  }));
  sessions.end();

  assertEquals(most, 2);
  assertLess(opened, 8);
});

Deno.test("Sessions.end() discards unused sessions, and the others when they are given back", async () => {
  await using db = await testDatabase({ migrated: false });
  const sessions = new Sessions(() => new Session(db.settings), 2);
  const [idle, used] = [await sessions.take(), await sessions.take()];
  await Promise.all([pidOf(idle), pidOf(used)]);
  sessions.giveBack(idle, true);

  sessions.end();
  assert(idle.lost && !used.lost);
  sessions.giveBack(used, true);

  assert(used.lost);
  await until(async () => await connections(db) === 0);
});

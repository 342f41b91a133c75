import { assert, assertEquals, assertLess } from "@std/assert";
import { type ConnectionSettings, resolveConnection } from "../../src/database/settings.ts";
import { withDeadline } from "../../src/database/driver.ts";
import { Emitter } from "../../src/events.ts";
import { Listener, type ListenerOptions } from "../../src/notify/listener.ts";
import { Session } from "../../src/database/session.ts";
import { queueChannel } from "../../src/store/listen.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { until } from "../support/waiting.ts";
import { TcpProxy } from "../support/tcp_proxy.ts";

/** A listener, ended at the end, with what it reported. */
interface Bench extends AsyncDisposable {
  listener: Listener;
  /** The names of the events so far. */
  events: string[];
}

function listenTo(settings: ConnectionSettings, options: Partial<ListenerOptions> = {}): Bench {
  const emitter = new Emitter();
  const events: string[] = [];
  for (const event of ["listener.connected", "listener.lost", "listener.unavailable"] as const) {
    emitter.on(event, () => events.push(event));
  }
  const listener = new Listener((session) => new Session(settings, session), {
    schema: "firefly",
    events: emitter,
    ...options,
  });
  return { listener, events, [Symbol.asyncDispose]: () => listener.end() };
}

/** Notes every ring; a ring without a channel as "all". */
function bell(): { rings: string[]; ring: (channel: string | undefined) => void; first: Promise<void> } {
  const rings: string[] = [];
  const first = Promise.withResolvers<void>();
  return {
    rings,
    ring(channel) {
      rings.push(channel ?? "all");
      first.resolve();
    },
    first: first.promise,
  };
}

async function notify({ sql }: TestDatabase, channel: string): Promise<void> {
  await sql`SELECT pg_notify(${channel}, '')`;
}

/** Ends the connection that listens; resolves once there was one. */
async function terminateListener({ sql }: TestDatabase): Promise<void> {
  await until(async () => {
    const rows = await sql`
      SELECT pg_terminate_backend(pid)
      FROM pg_stat_activity
      WHERE datname = current_database() AND application_name = 'firefly'
    `;
    return rows.length > 0;
  });
}

async function connections({ sql }: TestDatabase): Promise<number> {
  const rows = await sql`
    SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'firefly'
  `;
  return rows.length;
}

Deno.test("Listener rings everybody once it is connected, and then for each notification", async () => {
  await using db = await testDatabase({ migrated: false });
  await using at = listenTo(db.settings);
  const [mail, slow] = [bell(), bell()];
  at.listener.subscribe(["firefly_mail"], mail.ring);
  at.listener.subscribe(["firefly_slow", "firefly:ended"], slow.ring);
  await Promise.all([mail.first, slow.first]);

  await notify(db, "firefly_mail");
  await notify(db, "firefly_other");
  await notify(db, "firefly:ended");
  await until(() => slow.rings.includes("firefly:ended"));

  const named = [mail, slow].map(({ rings }) => rings.filter((ring) => ring !== "all"));
  assertEquals(named, [["firefly_mail"], ["firefly:ended"]]);
  assertEquals([at.events, await connections(db)], [["listener.connected"], 1]);
});

Deno.test("Listener listens on the channels of those who subscribe later", async () => {
  await using db = await testDatabase({ migrated: false });
  await using at = listenTo(db.settings);
  const [first, second] = [bell(), bell()];
  at.listener.subscribe(["firefly_a"], first.ring);
  await first.first;

  at.listener.subscribe(["firefly_b"], second.ring);
  await second.first;
  await notify(db, "firefly_b");
  await until(() => second.rings.length === 2);

  assertEquals(second.rings, ["all", "firefly_b"]);
});

Deno.test("Listener rings for channels with any characters", async () => {
  await using db = await testDatabase({ migrated: false });
  await using at = listenTo(db.settings);
  const channels = [queueChannel('Odd "Schema".x', "a.b-c"), "ünïcode's:ended", "x".repeat(63)];
  const bells = channels.map((channel) => {
    const heard = bell();
    at.listener.subscribe([channel], heard.ring);
    return heard;
  });
  await Promise.all(bells.map(({ first }) => first));
  await until(() => bells.every(({ rings }) => rings.length >= 1));

  for (const channel of channels) await notify(db, channel);

  await until(() => bells.every(({ rings }, i) => rings.includes(channels[i]!)));
});

Deno.test("Listener connects again within 1.5 s when its connection is terminated, and rings everybody", async () => {
  await using db = await testDatabase({ migrated: false });
  await using at = listenTo(db.settings);
  const heard = bell();
  at.listener.subscribe(["firefly_a"], heard.ring);
  await heard.first;
  for (let i = 1; i <= 5; i++) {
    const start = performance.now();
    await terminateListener(db);
    await until(() => heard.rings.length === i + 1);
    assertLess(performance.now() - start, 1500);
  }

  await notify(db, "firefly_a");
  await until(() => heard.rings.length === 7);

  assertEquals(heard.rings, [...Array(6).fill("all"), "firefly_a"]);
  assertEquals(at.events.filter((event) => event === "listener.lost").length, 5);
});

Deno.test("Listener notices a connection that answers no more within its heartbeat and deadline", async () => {
  await using db = await testDatabase({ migrated: false });
  await using proxy = await TcpProxy.start(db.url);
  const settings = await resolveConnection(proxy.through(db.url));
  await using at = listenTo(settings, { heartbeat: 300, deadline: 300 });
  const heard = bell();
  at.listener.subscribe(["firefly_a"], heard.ring);
  await heard.first;
  await until(() => at.events.length === 1);

  proxy.mode = "hole";
  const start = performance.now();
  await until(() => at.events.includes("listener.lost"));
  const noticed = performance.now() - start;
  proxy.mode = "pass";
  await until(() => heard.rings.length === 2);

  assertLess(noticed, 1500);
  await notify(db, "firefly_a");
  await until(() => heard.rings.length === 3);
  assertEquals(heard.rings, ["all", "all", "firefly_a"]);
});

Deno.test("Listener gives a server that refuses it time, reports it once, and is back soon after", async () => {
  await using db = await testDatabase({ migrated: false });
  await using proxy = await TcpProxy.start(db.url);
  const settings = await resolveConnection(proxy.through(db.url));
  await using at = listenTo(settings);
  const heard = bell();
  at.listener.subscribe(["firefly_a"], heard.ring);
  await heard.first;

  const before = proxy.accepted;
  // Broken off as soon as something is sent: an error at once, and no answer to wait for.
  proxy.onRequest = () => proxy.cut({ reset: true });
  proxy.cut();
  await new Promise((resolve) => setTimeout(resolve, 1500));
  const tries = proxy.accepted - before;
  proxy.onRequest = () => {};
  const start = performance.now();
  await until(() => heard.rings.length === 2);

  assert(tries >= 2 && tries <= 8, `${tries} tries`);
  assertLess(performance.now() - start, 4000);
  assertEquals(at.events, ["listener.connected", "listener.lost", "listener.connected"]);
});

Deno.test("Listener does not say that it is connected where LISTEN has no effect", async () => {
  await using db = await testDatabase({ migrated: false });
  await using proxy = await TcpProxy.start(db.url);
  const settings = await resolveConnection(proxy.through(db.url));
  await using at = listenTo(settings);
  const heard = bell();
  // What a transaction pooler does: the next statement comes to a server's process that does not listen.
  proxy.tamper = (text) => text.replaceAll('LISTEN "firefly_a"', "RESET work_mem    ");
  at.listener.subscribe(["firefly_a"], heard.ring);

  await until(() => at.events.length > 0);
  await new Promise((resolve) => setTimeout(resolve, 500));

  assertEquals([at.events, heard.rings], [["listener.unavailable"], []]);
});

Deno.test("Listener closes its connection a while after the last subscriber has gone, and opens one for the next", async () => {
  await using db = await testDatabase({ migrated: false });
  await using at = listenTo(db.settings, { linger: 200 });
  const [first, second] = [bell(), bell()];
  const leave = at.listener.subscribe(["firefly_a"], first.ring);
  await first.first;

  leave();
  await until(async () => await connections(db) === 0);

  at.listener.subscribe(["firefly_a"], second.ring);
  await second.first;
  assertEquals(first.rings, ["all"]);
});

Deno.test("Listener keeps its connection while subscribers come and go", async () => {
  await using db = await testDatabase({ migrated: false });
  await using at = listenTo(db.settings);
  for (let i = 0; i < 5; i++) {
    const heard = bell();
    const leave = at.listener.subscribe([`firefly_${i}`], heard.ring);
    await heard.first;
    leave();
    await new Promise((resolve) => setTimeout(resolve, 30));
  }

  assertEquals(at.events, ["listener.connected"]);
});

Deno.test("Listener serves whoever subscribes in the moment in which it ends", async () => {
  await using db = await testDatabase({ migrated: false });
  await using at = listenTo(db.settings, { linger: 1 });
  for (let i = 0; i < 30; i++) {
    const [first, second] = [bell(), bell()];
    const leave = at.listener.subscribe([`firefly_${i}`], first.ring);
    await first.first;
    leave();
    await new Promise((resolve) => setTimeout(resolve, i / 5));
    const leaveToo = at.listener.subscribe([`firefly_${i}_too`], second.ring);
    await withDeadline(second.first, 5000);
    leaveToo();
  }
});

Deno.test("Listener.end() returns although the server does not answer", async () => {
  await using db = await testDatabase({ migrated: false });
  await using proxy = await TcpProxy.start(db.url);
  const at = listenTo(await resolveConnection(proxy.through(db.url)));
  proxy.mode = "hole";
  at.listener.subscribe(["firefly_a"], () => {});
  await until(() => proxy.accepted === 1);

  const start = performance.now();
  await at.listener.end();

  assertLess(performance.now() - start, 1000);
  assertEquals(at.events, []);
});

import { assertEquals, assertGreater, assertLess } from "@std/assert";
import { resolveConnection } from "../../src/database/settings.ts";
import { withDeadline } from "../../src/database/deadline.ts";
import { queueChannel } from "../../src/store/listen.ts";
import { testDatabase } from "../support/database.ts";
import { connections, listenTo, notify, recorder, terminateListener } from "../support/listening.ts";
import { until } from "../support/waiting.ts";
import { TcpProxy } from "../support/tcp_proxy.ts";

Deno.test("Listener calls every subscriber once it is connected, and then for each notification", async () => {
  await using db = await testDatabase({ migrated: false });
  await using at = listenTo(db.settings);
  const [mail, slow] = [recorder(), recorder()];
  at.listener.subscribe(["firefly_mail"], mail.record);
  at.listener.subscribe(["firefly_slow", "firefly:ended"], slow.record);
  await Promise.all([mail.first, slow.first]);

  await notify(db, "firefly_mail");
  await notify(db, "firefly_other");
  await notify(db, "firefly:ended");
  await until(() => slow.notifications.includes("firefly:ended"));

  const named = [mail, slow].map(({ notifications }) => notifications.filter((name) => name !== "all"));
  assertEquals(named, [["firefly_mail"], ["firefly:ended"]]);
  assertEquals([at.events, await connections(db)], [["listener.connected"], 1]);
});

Deno.test("Listener listens on the channels of later subscribers", async () => {
  await using db = await testDatabase({ migrated: false });
  await using at = listenTo(db.settings);
  const [first, second] = [recorder(), recorder()];
  at.listener.subscribe(["firefly_a"], first.record);
  await first.first;

  at.listener.subscribe(["firefly_b"], second.record);
  await second.first;
  await notify(db, "firefly_b");
  await until(() => second.notifications.length === 2);

  assertEquals(second.notifications, ["all", "firefly_b"]);
});

Deno.test("Listener gets notifications of channels with any characters", async () => {
  await using db = await testDatabase({ migrated: false });
  await using at = listenTo(db.settings);
  const channels = [queueChannel('Odd "Schema".x', "a.b-c"), "ünïcode's:ended", "x".repeat(63)];
  const recorders = channels.map((channel) => {
    const heard = recorder();
    at.listener.subscribe([channel], heard.record);
    return heard;
  });
  await Promise.all(recorders.map(({ first }) => first));
  await until(() => recorders.every(({ notifications }) => notifications.length >= 1));

  for (const channel of channels) await notify(db, channel);

  await until(() => recorders.every(({ notifications }, i) => notifications.includes(channels[i]!)));
});

Deno.test("Listener connects again within 1.5 s when its connection is terminated, and calls every subscriber", async () => {
  await using db = await testDatabase({ migrated: false });
  await using at = listenTo(db.settings);
  const heard = recorder();
  at.listener.subscribe(["firefly_a"], heard.record);
  await heard.first;
  for (let i = 1; i <= 5; i++) {
    const start = performance.now();
    await terminateListener(db);
    await until(() => heard.notifications.length === i + 1);
    assertLess(performance.now() - start, 1500);
  }

  await notify(db, "firefly_a");
  await until(() => heard.notifications.length === 7);

  assertEquals(heard.notifications, [...Array(6).fill("all"), "firefly_a"]);
  assertEquals(at.events.filter((event) => event === "listener.lost").length, 5);
});

Deno.test("Listener notices within its heartbeat and deadline that a connection no longer answers", async () => {
  await using db = await testDatabase({ migrated: false });
  await using proxy = await TcpProxy.start(db.url);
  const settings = await resolveConnection(proxy.through(db.url));
  await using at = listenTo(settings, { heartbeat: 300, deadline: 300 });
  const heard = recorder();
  at.listener.subscribe(["firefly_a"], heard.record);
  await heard.first;
  await until(() => at.events.length === 1);

  proxy.mode = "hole";
  const start = performance.now();
  await until(() => at.events.includes("listener.lost"));
  const noticed = performance.now() - start;
  proxy.mode = "pass";
  await until(() => heard.notifications.length === 2);

  assertLess(noticed, 1500);
  await notify(db, "firefly_a");
  await until(() => heard.notifications.length === 3);
  assertEquals(heard.notifications, ["all", "all", "firefly_a"]);
});

Deno.test("Listener gives a server that refuses it time, reports it once, and is back soon after", async () => {
  await using db = await testDatabase({ migrated: false });
  await using proxy = await TcpProxy.start(db.url);
  const settings = await resolveConnection(proxy.through(db.url));
  await using at = listenTo(settings);
  const heard = recorder();
  at.listener.subscribe(["firefly_a"], heard.record);
  await heard.first;

  const before = proxy.accepted;
  // Broken off as soon as something is sent: an error at once, and no answer to wait for.
  proxy.onRequest = () => proxy.cut({ reset: true });
  proxy.cut();
  const lost = performance.now();
  await until(() => proxy.accepted - before >= 3);
  const took = performance.now() - lost;
  proxy.onRequest = () => {};
  const start = performance.now();
  await until(() => heard.notifications.length === 2);

  assertGreater(took, 350, "3 tries, after 100, 200 and 400 ms");
  assertLess(performance.now() - start, 4000);
  assertEquals(at.events, ["listener.connected", "listener.lost", "listener.connected"]);
});

Deno.test("Listener does not say that it is connected where LISTEN has no effect", async () => {
  await using db = await testDatabase({ migrated: false });
  await using proxy = await TcpProxy.start(db.url);
  const settings = await resolveConnection(proxy.through(db.url));
  await using at = listenTo(settings);
  const heard = recorder();
  // What a transaction pooler does: the next statement comes to a server's process that does not listen.
  proxy.tamper = (text) => text.replaceAll('LISTEN "firefly_a"', "RESET work_mem    ");
  at.listener.subscribe(["firefly_a"], heard.record);

  await until(() => at.events.length > 0);
  await new Promise((resolve) => setTimeout(resolve, 500));

  assertEquals([at.events, heard.notifications], [["listener.unavailable"], []]);
});

Deno.test("Listener closes its connection a while after the last subscriber has gone, and opens one for the next", async () => {
  await using db = await testDatabase({ migrated: false });
  await using at = listenTo(db.settings, { linger: 200 });
  const [first, second] = [recorder(), recorder()];
  const leave = at.listener.subscribe(["firefly_a"], first.record);
  await first.first;

  leave();
  await until(async () => await connections(db) === 0);

  at.listener.subscribe(["firefly_a"], second.record);
  await second.first;
  assertEquals(first.notifications, ["all"]);
});

Deno.test("Listener keeps its connection while subscribers come and go", async () => {
  await using db = await testDatabase({ migrated: false });
  await using at = listenTo(db.settings);
  for (let i = 0; i < 5; i++) {
    const heard = recorder();
    const leave = at.listener.subscribe([`firefly_${i}`], heard.record);
    await heard.first;
    leave();
    await new Promise((resolve) => setTimeout(resolve, 30));
  }

  assertEquals(at.events, ["listener.connected"]);
});

Deno.test("Listener serves a subscriber that comes at the moment when it ends", async () => {
  await using db = await testDatabase({ migrated: false });
  await using at = listenTo(db.settings, { linger: 1 });
  for (let i = 0; i < 30; i++) {
    const [first, second] = [recorder(), recorder()];
    const leave = at.listener.subscribe([`firefly_${i}`], first.record);
    await first.first;
    leave();
    await new Promise((resolve) => setTimeout(resolve, i / 5));
    const leaveToo = at.listener.subscribe([`firefly_${i}_too`], second.record);
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

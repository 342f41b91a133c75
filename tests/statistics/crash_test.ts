import { assert, assertEquals } from "@std/assert";
import { Firefly } from "../../mod.ts";
import { testDatabase } from "../support/database.ts";
import { PACKAGE, testProject } from "../support/project.ts";
import { until } from "../support/waiting.ts";

const TASKS = `
  import { current, task } from ${JSON.stringify(PACKAGE)};
  export const quick = task("quick", () => {});
  export const hold = task("hold", async () => {
    if (current().attempt === 1) await new Promise((resolve) => setTimeout(resolve, 1e9));
  });
`;

Deno.test("a crash loses counts of the last seconds at most, and no task", async () => {
  await using db = await testDatabase();
  await using ff = new Firefly({ database: db.url });
  await using project = await testProject({ files: { "tasks.ts": TASKS }, database: db.url });
  const schedule = (name: string, count: number) =>
    db.sql`INSERT INTO firefly.task (func_name) SELECT ${name} FROM generate_series(1, ${count})`;
  const counted = async () => {
    const [row] = await db.sql`SELECT COALESCE(sum(completed), 0)::int AS completed FROM firefly.task_minute`;
    return row!.completed as number;
  };
  const completed = (count: number) => async () => {
    return (await db.sql`SELECT FROM firefly.task WHERE status = 'completed'`).count === count;
  };

  {
    await using crashing = project.start("consume", "--lease", "3s");
    await schedule("quick", 30);
    // Without an end of the consumer: it writes every 10 to 15 s.
    await until(async () => await counted() === 30, 60_000);
    await schedule("quick", 20);
    await schedule("hold", 1);
    await until(completed(50));
    await until(async () => (await ff.tasks.list({ status: "running" })).items.length === 1);
    crashing.kill("SIGKILL");
    await crashing.ended();
  }
  await using other = project.start("consume", "--lease", "3s");
  await until(completed(51), 60_000);
  other.kill("SIGTERM");
  assertEquals((await other.ended()).code, 0);

  const sum = await counted();
  assert(sum >= 31 && sum <= 51, `${sum} of 51 are counted`);
});

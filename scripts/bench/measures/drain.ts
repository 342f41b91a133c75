import type { Metrics } from "../results.ts";
import { type Stage, startedBy } from "../stage.ts";

/** Consumers run tasks that are there; from the start of the consumers until the last task has ended. */
export async function measureDrain(
  stage: Stage,
  { consumers, tasks = stage.tasks }: { consumers: number; tasks?: number },
): Promise<Metrics> {
  await stage.control.ask("fill", { count: tasks, chunk: stage.peer.chunk });
  await stage.settle();
  return await drain(stage, { consumers, tasks });
}

/** Starts consumers for tasks that are there; `tasks` is how many, if that is known. */
export async function drain(
  stage: Stage,
  { consumers, tasks: given }: { consumers: number; tasks?: number },
): Promise<Metrics> {
  const tasks = given ?? await countReady(stage);
  const children = await Promise.all(Array.from({ length: consumers }, () => stage.startIdle()));
  const metrics = await stage.account(children, async () => {
    const [began, start] = [Date.now(), performance.now()];
    const starting = Promise.all(children.map((child) => child.ask("consume")));
    await stage.waitUntilDone(children, tasks);
    const seconds = (performance.now() - start) / 1000;
    await starting;
    const firsts = children.map(({ progress }) => progress.first).filter((first) => first > 0);
    const late = (Math.min(...firsts) - began) / 1000;
    return { count: tasks, metrics: { rate: tasks / seconds, rateFromFirst: tasks / (seconds - late) } };
  });
  const started = startedBy(children);
  if (started !== tasks) throw new Error(`${started} tasks were started, of ${tasks}`);
  await Promise.all(children.map((child) => child[Symbol.asyncDispose]()));
  return metrics;
}

/** Fills and drains again and again, as the server is left by the round before, and tells the sizes of the tables. */
export async function measureRounds(stage: Stage): Promise<Metrics[]> {
  const all: Metrics[] = [];
  for (let step = 1; step <= stage.sizes.steps; step++) {
    const { count, seconds } = await stage.control.ask("fill", { count: stage.tasks, chunk: stage.peer.chunk });
    const drained = await drain(stage, { consumers: 1, tasks: stage.tasks });
    const [sizes] = await stage.sql`
      SELECT sum(pg_table_size(relid))::bigint AS tables, sum(pg_indexes_size(relid))::bigint AS indexes
      FROM pg_stat_user_tables
    `;
    const [tables, indexes] = [sizes!.tables / 1e6, sizes!.indexes / 1e6];
    all.push({ ...drained, step, scheduleRate: count / seconds, tables, indexes });
  }
  return all;
}

async function countReady({ sql }: Stage): Promise<number> {
  const [row] = await sql`SELECT COALESCE(sum(length), 0)::integer AS ready FROM firefly.ready`;
  return row!.ready;
}

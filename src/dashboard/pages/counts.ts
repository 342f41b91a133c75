import { MOST_FAILED, readPulse } from "../../store/pulse.ts";
import type { PageContext, Route } from "../context.ts";
import { readQueueFacts } from "../verdict_facts.ts";
import { maySeeRecords } from "./tasks_overview.ts";

/** The numbers of the overview, for programs: of the tasks that wait and that failed, up to 10,001 of each kind. */
async function show(context: PageContext): Promise<Response> {
  const { sql, now } = context;
  const mayReadRecords = await maySeeRecords(context);
  const [{ queues, waiting, consumers }, { failed }] = await Promise.all([
    readQueueFacts({ sql, now, mayReadRecords }),
    readPulse(sql),
  ]);
  const live = consumers.filter((consumer) => consumer.live);
  const oldest = queues.flatMap((queue) => queue.oldest ?? []);
  return Response.json({
    now,
    due: sum(queues.map((queue) => queue.due)),
    oldest_due_seconds: oldest.length === 0 ? null : Math.max(...oldest),
    running: sum(queues.map((queue) => queue.running)),
    places: sum(live.map((consumer) => consumer.concurrency)),
    waiting: Object.fromEntries(
      Map.groupBy(waiting, ({ reason }) => reason).entries().map((
        [reason, all],
      ) => [reason, sum(all.map((one) => one.tasks))]),
    ),
    failed_last_hour: { tasks: Math.min(failed, MOST_FAILED), or_more: failed > MOST_FAILED },
    consumers: live.length,
    queues: queues.map(({ name, state, due, running, oldest }) => ({
      name,
      state,
      due,
      running,
      oldest_due_seconds: oldest,
    })),
  });
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

/** The route of the numbers for programs. */
export const counts: readonly Route[] = [{ method: "GET", path: "/counts.json", run: show }];

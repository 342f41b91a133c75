import type postgres from "postgres";
import type { Metrics } from "../results.ts";
import type { Stage } from "../stage.ts";
import { drain } from "./drain.ts";
import { measureSchedule } from "./schedule.ts";

/** How often everything is measured with each number of records. */
const TIMES = 3;
/** How many records one statement inserts. */
const CHUNK = 500_000;

/** Schedules and drains beside few records, then beside many: each of them has ended within the last six days. */
export async function measureRecords(stage: Stage): Promise<Metrics[]> {
  const all: Metrics[] = [];
  let have = 0;
  for (const [i, count] of stage.sizes.records.entries()) {
    await addRecords(stage, count - have);
    have = count;
    await stage.settle();
    for (let time = 0; time < TIMES; time++) {
      const { rate: oneRate } = await measureSchedule(stage, 1);
      await drain(stage, { consumers: 1 });
      const { count: scheduled, seconds } = await stage.control.ask("fill", {
        count: stage.tasks,
        chunk: stage.peer.chunk,
      });
      const drained = await drain(stage, { consumers: 1, tasks: stage.tasks });
      all.push({ ...drained, step: i + 1, oneRate: oneRate!, scheduleRate: scheduled / seconds });
    }
  }
  return all;
}

/** Inserts records of completed tasks, without the triggers that place a new task. */
async function addRecords(stage: Stage, count: number): Promise<void> {
  await stage.sql.begin(async (sql: postgres.TransactionSql) => {
    await sql`SET LOCAL session_replication_role = replica`;
    for (let done = 0; done < count; done += CHUNK) {
      await sql`
        INSERT INTO firefly.task (
          func_name, created, not_before, params, claim_seq, attempted_by, status, started, completed, returned
        )
        SELECT 'bench.noop', time - interval '2 seconds', time - interval '2 seconds',
          'W3siaSI6MTIzNDUsInMiOiJoZWxsby1maXJlZmx5LWJlbmNobWFyayJ9XQ==', 1, 1, 'completed',
          time - interval '1 second', time, 'bnVsbA=='
        FROM generate_series(1, ${Math.min(CHUNK, count - done)}::integer) AS i,
          LATERAL (SELECT now() - (${
        count - done
      }::integer - i) * interval '6 days' / ${count}::integer AS time) AS ended
      `;
      stage.signal.throwIfAborted();
    }
  });
}

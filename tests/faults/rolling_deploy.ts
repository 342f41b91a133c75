import { testDatabase } from "../support/database.ts";
import { until } from "../support/waiting.ts";
import { allEnded, consumersLive, startConsumerOf } from "./consumers.ts";
import type { Fault } from "./fault.ts";

/** Fault 13: tasks of a new release wait for it, whatever the old one does, and cost nobody anything. */
export const rollingDeploy: Fault = {
  number: 13,
  title: "tasks that no consumer knows yet, during a rolling deploy",
  async run(figures, scale) {
    await using db = await testDatabase();
    const count = scale === "full" ? 200 : 50;
    await db.sql`CREATE TABLE ledger (n int, task_id bigint, attempt int)`;
    await using _old = startConsumerOf(db, { tasks: "ledger_tasks.ts" });
    await using _older = startConsumerOf(db, { tasks: "ledger_tasks.ts" });
    await consumersLive(db, 2);
    await db.sql`
      INSERT INTO firefly.task (func_name, params)
      SELECT name, firefly.encode('[1]')
      FROM generate_series(1, ${count}), unnest(ARRAY['data.echo', 'ledger.write']) AS name
    `;
    const { completed } = await allEnded(db, "ledger.write");
    await until(async () => {
      const rows = await db.sql`SELECT FROM firefly.waiting WHERE reason = 'unknown'`;
      return rows.count === count;
    });
    const [before] = await db.sql`
      SELECT max(claim_seq + COALESCE(retry_attempts, rescues, snoozes, jsonb_array_length(errors), 0))::int AS used
      FROM firefly.task WHERE func_name = 'data.echo'
    `;
    await using _new = startConsumerOf(db);
    const ended = await allEnded(db, "data.echo");
    const [after] = await db.sql`
      SELECT max(retry_attempts + rescues + snoozes)::int AS used,
        EXTRACT(epoch FROM min(started) - (SELECT max(started) FROM firefly.consumer)) * 1000 AS first,
        EXTRACT(epoch FROM max(started) - (SELECT max(started) FROM firefly.consumer)) * 1000 AS last
      FROM firefly.task_record WHERE func_name = 'data.echo'
    `;

    figures.is("known tasks that completed before", completed ?? 0, count);
    figures.is("claims and attempts used before", before!.used, 0);
    figures.is("completed", ended.completed ?? 0, count);
    figures.is("attempts used beside the one that completed", after!.used, 0);
    figures.within("first start after a consumer that knows them", Number(after!.first), 2_000);
    figures.within("last start after a consumer that knows them", Number(after!.last), 2_000);
  },
};

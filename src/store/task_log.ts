import type { Tag } from "../database/driver.ts";
import { isServerFault } from "../database/error_codes.ts";
import type { NewLogLine } from "../telemetry/kept_log.ts";
import type { TaskLogLine } from "../task/record.ts";
import { toAscii } from "../wire/format.ts";

/**
 * Stores log lines in their order, without those of tasks that are deleted. Lines that the database refuses, as its
 * encoding lacks a character, it stores one by one, without what cannot be stored.
 *
 * @throws The database's error, if the server is at fault.
 */
export async function writeLog(sql: Tag, lines: readonly NewLogLine[]): Promise<void> {
  try {
    await insertLines(sql, lines);
  } catch (error) {
    if (isServerFault(error)) throw error;
    for (const line of lines) await insertEach(sql, line);
  }
}

async function insertEach(sql: Tag, line: NewLogLine): Promise<void> {
  const plain = {
    ...line,
    message: toAscii(line.message),
    fields: null,
    step: line.step === null ? null : toAscii(line.step),
  };
  for (const tried of [line, plain]) {
    try {
      return await insertLines(sql, [tried]);
    } catch (error) {
      if (isServerFault(error)) throw error;
    }
  }
}

async function insertLines(sql: Tag, lines: readonly NewLogLine[]): Promise<void> {
  const now = performance.now();
  const rows = lines.map(({ logged, ...line }) => ({ ...line, age: Math.max(0, now - logged) / 1000 }));
  // One record after the other by its primary key: OFFSET 0 keeps the planner from joining all of them.
  await sql`
    INSERT INTO ${sql.schema}.task_log (task_id, attempt, at, level, message, fields, step)
    SELECT line.task_id, line.attempt, clock_timestamp() - make_interval(secs => line.age), line.level, line.message,
      line.fields::jsonb, line.step
    FROM ROWS FROM (json_to_recordset(${JSON.stringify(rows)}::text::json) AS (
      task_id bigint, attempt integer, age double precision, level text, message text, fields text, step text
    )) WITH ORDINALITY AS line (task_id, attempt, age, level, message, fields, step, ordinal)
    CROSS JOIN LATERAL (SELECT FROM ${sql.schema}.task WHERE task.id = line.task_id OFFSET 0) AS task
    ORDER BY line.ordinal
  `;
}

/** Reads the last `limit` log lines of a task, oldest first. */
export async function readLog(sql: Tag, taskId: number, limit: number): Promise<TaskLogLine[]> {
  const rows = await sql<TaskLogLine>`
    SELECT attempt, at, step, level, message, COALESCE(fields, '{}') AS fields
    FROM (
      SELECT * FROM ${sql.schema}.task_log WHERE task_id = ${taskId}::bigint ORDER BY id DESC LIMIT ${limit}::bigint
    ) AS last
    ORDER BY id
  `;
  return [...rows];
}

import type { Tag } from "../database/driver.ts";
import { CREATED_STATES, type TaskFilter, type TaskState, type TaskStatus } from "../task/record.ts";
import { listOf } from "./record_filter.ts";
import { toNumber } from "./rows.ts";

/*
 * A task that has not ended has a place in `ready`, `waiting` or `claim_batch`, and a failed one a row of `failed_task`.
 * So those that are in one of these states are found among few, where a walk over the records would read all.
 */

/** The states whose tasks have a place. */
const PLACED: readonly TaskState[] = [...CREATED_STATES.filter((state) => state !== "unplaced"), "running", "failed"];
/** From how many bytes of records on reading all of them takes more than 0.1 s: about 180,000. */
export const LARGE = 100 * 2 ** 20;

/**
 * Returns the states that a filter names, if their tasks are to be found by their places; else undefined. Without a place
 * are tasks that an edit by hand left so, until maintenance repairs that: a filter for `created` or `failed` tasks finds
 * them only as long as all records are few.
 *
 * @param options `others`: states without places to take as well; `large`: from how many bytes on records are many.
 */
export async function placedStates(
  sql: Tag,
  { status, ids }: Pick<TaskFilter, "status" | "ids">,
  { others = [], large = LARGE }: { others?: readonly TaskState[]; large?: number | undefined } = {},
): Promise<TaskState[] | undefined> {
  const named: readonly (TaskStatus | TaskState)[] | null = listOf(status);
  if (!named || named.length === 0 || ids) return undefined;
  const states = named.flatMap((state) =>
    state === "created" ? PLACED.filter((state) => CREATED_STATES.includes(state)) : [state]
  );
  if (!states.every((state) => PLACED.includes(state) || others.includes(state))) return undefined;
  const mayMiss = named.includes("created") || named.includes("failed");
  return mayMiss && await readSize(sql) <= large ? undefined : states;
}

/** Reads how many bytes the records have, their long values aside. */
export async function readSize(sql: Tag): Promise<number> {
  const [row] = await sql`
    SELECT pg_relation_size(format('%I.task', ${sql.schemaName}::text)::regclass)::double precision AS bytes
  `;
  return row!.bytes;
}

/**
 * Finds the tasks below `before` whose state is one of `states`: the ids of the newest, up to `limit`. A list of records
 * would walk all of them for the few, and look up the place of each. Only unplaced ones are sought among all records.
 */
export async function findPlaced(
  sql: Tag,
  { queue, funcName }: Pick<TaskFilter, "queue" | "funcName">,
  { states, limit, before }: { states: readonly TaskState[]; limit: number; before: number | null },
): Promise<number[]> {
  const [queues, names] = [listOf(queue), listOf(funcName)];
  const matches = sql.fragment`(${queues}::text[] IS NULL OR queue = ANY (${queues}::text[]))
        AND (${names}::text[] IS NULL OR func_name = ANY (${names}::text[]))`;
  const wants = (state: TaskState) => states.includes(state);
  const [delayed, retrying] = [wants("delayed"), wants("retrying")];
  const rows = await sql`
    SELECT id
    FROM (
      SELECT id FROM ${sql.schema}._ready_task WHERE ${wants("ready")}::boolean AND ${matches}
      UNION ALL
      SELECT id
      FROM ${sql.schema}.waiting
      WHERE ${matches} AND CASE
        WHEN ${stateOfWaiting(sql)} <> 'delayed' THEN ${stateOfWaiting(sql)} = ANY (${[...states]}::text[])
        WHEN ${delayed}::boolean = ${retrying}::boolean THEN ${delayed}::boolean
        ELSE EXISTS (
          SELECT FROM ${sql.schema}.task WHERE task.id = waiting.id AND (task.started IS NULL) = ${delayed}::boolean
        )
      END
      UNION ALL
      SELECT id FROM ${sql.schema}._claimed_task WHERE ${wants("running")}::boolean
      UNION ALL
      SELECT id FROM ${allRecords(sql)} WHERE ${wants("unplaced")}::boolean AND state = 'unplaced'
      UNION ALL
      (
        -- By the index of its key, from the newest on.
        SELECT task_id
        FROM ${sql.schema}.failed_task
        WHERE ${wants("failed")}::boolean AND ${matches} AND (${before}::bigint IS NULL OR task_id < ${before}::bigint)
        ORDER BY task_id DESC
        LIMIT ${limit}::bigint
      )
    ) AS place
    WHERE ${before}::bigint IS NULL OR id < ${before}::bigint
    ORDER BY id DESC
    LIMIT ${limit}::bigint
  `;
  return rows.map(({ id }) => toNumber(id));
}

/** The state of a task by its row of `waiting`: `delayed` stands for `retrying`, too, which only the record tells. */
export function stateOfWaiting(sql: Tag): unknown {
  return sql.raw(`CASE
          WHEN reason = 'unknown' THEN 'unknown'
          WHEN reason = 'dependencies' THEN 'dependent'
          WHEN reason = 'suspended' THEN 'suspended'
          WHEN reason <> 'time' THEN 'limited'
          WHEN not_before > statement_timestamp() AND suspended THEN 'suspended'
          WHEN not_before > statement_timestamp() THEN 'delayed'
          WHEN concurrency_key IS NULL AND rate_key IS NULL THEN 'ready'
          ELSE 'limited'
        END`);
}

/** The columns of a record that filters and groups read. */
const COLUMNS = `task.id, task.func_name, task.queue, task.created, task.completed, task.failed, task.cancelled,
        task.params, task.errors, task.tags`;

/**
 * The records of tasks with places, by these, and of failed ones: without those of other `states`, and with more. OFFSET
 * keeps the planner from joining all records: it looks up those of each run by the key.
 */
export function placedRecords(sql: Tag, states: readonly TaskState[] = PLACED): unknown {
  const wants = (state: TaskState) => states.includes(state);
  const isWaiting = states.some((state) => CREATED_STATES.includes(state));
  return sql.fragment`(
      SELECT ${sql.raw(COLUMNS)}, CASE WHEN place.state = 'running' THEN 'running' ELSE task.status END AS status,
        CASE WHEN place.state = 'delayed' AND task.started IS NOT NULL THEN 'retrying' ELSE place.state END AS state
      FROM (
        SELECT id, length, claim_seq, 'ready' AS state FROM ${sql.schema}.ready WHERE ${wants("ready")}::boolean
        UNION ALL
        SELECT id, 1, claim_seq, ${stateOfWaiting(sql)} FROM ${sql.schema}.waiting WHERE ${isWaiting}::boolean
        UNION ALL
        SELECT id, length, claim_seq, 'running' FROM ${sql.schema}._claimed_run WHERE ${wants("running")}::boolean
        UNION ALL
        SELECT task_id, 1, NULL, 'failed' FROM ${sql.schema}.failed_task WHERE ${wants("failed")}::boolean
      ) AS place
      CROSS JOIN LATERAL (
        SELECT *
        FROM ${sql.schema}.task
        WHERE task.id >= place.id AND task.id < place.id + place.length AND CASE
          WHEN place.state = 'failed' THEN task.status = 'failed'
          ELSE task.status = 'created' AND task.claim_seq = place.claim_seq
        END
        OFFSET 0
      ) AS task
    ) AS task_record`;
}

/**
 * All records with their states. It joins every place at once, where the view would look up the place of each record:
 * faster where all records are read, and only there.
 */
export function allRecords(sql: Tag): unknown {
  return sql.fragment`(
      SELECT ${sql.raw(COLUMNS)}, CASE WHEN place.state = 'running' THEN 'running' ELSE task.status END AS status,
        CASE
          WHEN task.status <> 'created' THEN task.status
          WHEN place.state = 'delayed' AND task.started IS NOT NULL THEN 'retrying'
          ELSE COALESCE(place.state, 'unplaced')
        END AS state
      FROM ${sql.schema}.task
      LEFT JOIN (
        SELECT id, claim_seq, 'ready' AS state FROM ${sql.schema}._ready_task
        UNION ALL
        SELECT id, claim_seq, ${stateOfWaiting(sql)} FROM ${sql.schema}.waiting
        UNION ALL
        SELECT id, claim_seq, 'running' FROM ${sql.schema}._claimed_task
      ) AS place ON task.status = 'created' AND place.id = task.id AND place.claim_seq = task.claim_seq
    ) AS task_record`;
}

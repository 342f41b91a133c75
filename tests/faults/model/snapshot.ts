import type { Tag } from "../../../src/database/driver.ts";
import { type Place, type State, Time } from "./state.ts";

/** A row of a table; times are microseconds. */
export type Row = Record<string, unknown>;

/** The tables that the model is about. */
export const TABLES = [
  "task",
  "ready",
  "waiting",
  "claim_batch",
  "consumer",
  "unique_key",
  "slot",
  "definition",
  "result_waiter",
  "queue",
  "dependency",
  "ended",
  "step",
  "signal",
] as const;

/** Everything that the tables hold, as of one moment. */
export type Snapshot = { clock: number; failed: number[] } & Record<typeof TABLES[number], Row[]>;

/** Reads everything in one statement. */
export async function readSnapshot(sql: Tag): Promise<Snapshot> {
  const [row] = await sql<{ snapshot: string }>`
    SELECT json_build_object(
      'clock', (EXTRACT(epoch FROM clock_timestamp()) * 1000000)::bigint,
      'failed', (SELECT COALESCE(json_agg(task_id), '[]') FROM ${sql.schema}.failed_task),
      'task', (SELECT json_agg(task) FROM (
        SELECT id, claim_seq, status, (EXTRACT(epoch FROM not_before) * 1000000)::bigint AS not_before, priority, queue,
          func_name, params, started IS NOT NULL AS started, completed IS NOT NULL AS completed,
          failed IS NOT NULL AS failed, cancelled IS NOT NULL AS cancelled, returned,
          COALESCE(retry_attempts, 0) AS retry_attempts, COALESCE(rescues, 0) AS rescues, COALESCE(snoozes, 0) AS snoozes,
          COALESCE(crash_count, 0) AS crash_count, progress, unique_key, unique_among, unique_for, concurrency_key, rate_key,
          COALESCE(dependencies, 0) AS dependencies, dependants IS NOT NULL AS dependants,
          CASE WHEN errors IS NULL THEN '' ELSE (
            SELECT string_agg(concat_ws(' ', error ->> 'name', error ->> 'attempt', error ->> 'delay'), ', ' ORDER BY place)
            FROM jsonb_array_elements(errors) WITH ORDINALITY AS error (error, place)
          ) END AS errors
        FROM ${sql.schema}.task
      ) AS task),
      'ready', (SELECT json_agg(ready) FROM (
        SELECT id, claim_seq, (EXTRACT(epoch FROM not_before) * 1000000)::bigint AS not_before, priority, queue,
          func_name, quarantined
        FROM ${sql.schema}._ready_task
      ) AS ready),
      'waiting', (SELECT json_agg(waiting) FROM (
        SELECT id, claim_seq, (EXTRACT(epoch FROM not_before) * 1000000)::bigint AS not_before, priority, queue,
          func_name, quarantined, reason, concurrency_key, rate_key, pending,
          signals, suspended IS NOT NULL AS suspended
        FROM ${sql.schema}.waiting
      ) AS waiting),
      'claim_batch', (SELECT json_agg(claim_batch) FROM (
        SELECT id, consumer_id, quarantined, ARRAY(
          SELECT concat_ws('/', claim.id, claim.claim_seq)
          FROM ${sql.schema}._claimed_task AS claim
          WHERE claim.batch_id = claim_batch.id
          ORDER BY claim.id
        ) AS claims
        FROM ${sql.schema}.claim_batch
      ) AS claim_batch),
      'consumer', (SELECT json_agg(consumer) FROM (
        SELECT id, lease_until > now() AS alive FROM ${sql.schema}.consumer
      ) AS consumer),
      'unique_key', (SELECT json_agg(unique_key) FROM (
        SELECT func_name || ' ' || key AS key, task_id, (EXTRACT(epoch FROM until) * 1000000)::bigint AS until
        FROM ${sql.schema}.unique_key
      ) AS unique_key),
      'slot', (SELECT json_agg(slot) FROM (
        SELECT kind, key, task_id, per,
          CASE WHEN isfinite(until) THEN to_json((EXTRACT(epoch FROM until) * 1000000)::bigint) ELSE to_json(until) END AS until
        FROM ${sql.schema}.slot
        ORDER BY kind, key, task_id, slot.until
      ) AS slot),
      'definition', (SELECT json_agg(definition) FROM (
        SELECT func_name, concurrency_limit, rate_limit, rate_per FROM ${sql.schema}.definition
      ) AS definition),
      'result_waiter', (SELECT json_agg(waiter) FROM (SELECT task_id FROM ${sql.schema}.result_waiter) AS waiter),
      'dependency', (SELECT json_agg(dependency) FROM (
        SELECT task_id, ordinal, dependency_id, settled, called, shared, status FROM ${sql.schema}.dependency
      ) AS dependency),
      'ended', (SELECT json_agg(ended) FROM (SELECT task_id FROM ${sql.schema}.ended) AS ended),
      'step', (SELECT json_agg(step) FROM (
        SELECT task_id, name, key, kind, status, seq, failures, (EXTRACT(epoch FROM due) * 1000000)::bigint AS due, callees,
          returned, ended IS NOT NULL AS ended
        FROM ${sql.schema}.step
      ) AS step),
      'signal', (SELECT json_agg(signal) FROM (SELECT id, task_id, name, payload FROM ${sql.schema}.signal) AS signal),
      'queue', (SELECT json_agg(queue) FROM (SELECT name FROM ${sql.schema}.queue WHERE paused) AS queue)
    )::text AS snapshot
  `;
  const snapshot = JSON.parse(row!.snapshot);
  for (const table of TABLES) snapshot[table] ??= [];
  return snapshot;
}

/** What the snapshot should be, with `Time`s where the database decides. */
function expected(state: State): Record<typeof TABLES[number], Row[]> {
  return {
    task: [...state.tasks.values()].map((task) => ({
      id: task.id,
      claim_seq: task.claimSeq,
      status: task.status,
      not_before: task.notBefore,
      priority: task.priority,
      queue: task.queue,
      func_name: task.name,
      params: task.params,
      started: task.started,
      completed: task.completed,
      failed: task.failed,
      cancelled: task.cancelled,
      returned: task.returned,
      retry_attempts: task.retryAttempts,
      rescues: task.rescues,
      snoozes: task.snoozes,
      crash_count: task.crashCount,
      errors: task.errors.join(", "),
      progress: task.progress,
      unique_key: task.uniqueKey,
      unique_among: task.uniqueAmong,
      unique_for: task.uniqueFor,
      concurrency_key: task.concurrencyKey,
      rate_key: task.rateKey,
      dependencies: task.dependencies,
      dependants: task.dependants,
    })),
    ready: state.ready.map(rowOf),
    waiting: state.waiting.map((place) => ({
      ...rowOf(place),
      reason: place.reason,
      concurrency_key: place.concurrencyKey,
      rate_key: place.rateKey,
      pending: place.pending,
      signals: place.signals,
      suspended: place.suspended,
    })),
    claim_batch: [...state.batches.values()].map(({ id, consumerId, quarantined, claims }) => ({
      id,
      consumer_id: consumerId,
      quarantined,
      claims: claims.toSorted((a, b) => a.id - b.id).map(({ id, claimSeq }) => `${id}/${claimSeq}`),
    })),
    consumer: [...state.consumers.values()].map(({ id, alive }) => ({ id, alive })),
    unique_key: [...state.uniqueKeys].map(([key, { taskId, until }]) => ({ key, task_id: taskId, until })),
    slot: state.slots.map(({ kind, key, taskId, per, until }) => ({ kind, key, task_id: taskId, per, until })),
    definition: [...state.definitions].map(([name, { concurrencyLimit, rateLimit, ratePer }]) => ({
      func_name: name,
      concurrency_limit: concurrencyLimit,
      rate_limit: rateLimit,
      rate_per: ratePer,
    })),
    result_waiter: [...state.resultWaiters].map((id) => ({ task_id: id })),
    queue: [...state.paused].map((name) => ({ name })),
    dependency: state.edges.map(({ taskId, dependencyId, ...edge }) => ({
      task_id: taskId,
      dependency_id: dependencyId,
      ...edge,
    })),
    step: state.steps.map(({ taskId, ...step }) => ({ task_id: taskId, key: "", ...step, ended: step.seq !== null })),
    signal: state.signals.map(({ taskId, ...signal }) => ({ task_id: taskId, ...signal })),
    ended: state.ended.map((id) => ({ task_id: id })),
  };
}

function rowOf({ id, claimSeq, notBefore, priority, queue, name, quarantined }: Place): Row {
  return { id, claim_seq: claimSeq, not_before: notBefore, priority, queue, func_name: name, quarantined };
}

/**
 * What the database holds and the model does not, or the other way around; undefined if they are the same. Times that
 * the last step made are taken over, if they are of that step.
 */
export function differenceOf(snapshot: Snapshot, state: State): string | undefined {
  const model = expected(state);
  const window = { from: state.clock, to: snapshot.clock };
  for (const table of TABLES) {
    const rows = Map.groupBy(snapshot[table], (row) => keyOf(table, row));
    for (const row of model[table]) {
      const key = keyOf(table, row);
      const duplicates = rows.get(key);
      if (!duplicates?.length) return `${table} lacks ${show(row)}`;
      const found = duplicates.findIndex((duplicate) =>
        Object.keys(row).every((column) => isSame(row[column], duplicate[column], window))
      );
      if (found < 0) {
        const [duplicate] = duplicates;
        const wrong = Object.keys(row).filter((column) => !isSame(row[column], duplicate![column], window));
        return `${table} ${key}: ${
          wrong.map((column) => `${column} is ${duplicate![column]} instead of ${show(row[column])}`)
        }`;
      }
      duplicates.splice(found, 1);
    }
    for (const [extra] of rows.values()) if (extra) return `${table} holds ${show(extra)}\nwhich it should not`;
  }
}

function keyOf(table: string, row: Row): string {
  switch (table) {
    case "task":
    case "claim_batch":
    case "consumer":
    case "signal":
      return String(row.id);
    case "ready":
    case "waiting":
      return `${row.id}/${row.claim_seq}`;
    case "step":
      return `${row.task_id}/${row.name}`;
    case "dependency":
      return `${row.task_id}/${row.ordinal}`;
    case "slot":
      return `${row.kind} ${row.key} ${row.task_id}`;
    default:
      return String(row.key ?? row.func_name ?? row.task_id ?? row.name);
  }
}

function isSame(wanted: unknown, found: unknown, { from, to }: { from: number; to: number }): boolean {
  if (wanted instanceof Time) {
    if (wanted.at !== undefined) return wanted.at === found;
    const shift = wanted.offset * 1_000_000;
    if (typeof found !== "number" || found < from + shift || found > to + shift) return false;
    wanted.at = found;
    return true;
  }
  if (Array.isArray(wanted)) return JSON.stringify(wanted) === JSON.stringify(found);
  return wanted === found;
}

function show(part: unknown): string {
  return JSON.stringify(part, (_, value) => value instanceof Time ? value.at ?? `now + ${value.offset} s` : value);
}

import type { Tag } from "../database/driver.ts";
import { CREATED_STATES, type TaskFilter } from "../task/record.ts";

/** A filter as the parameters of a statement: null means any. */
interface FilterParameters {
  statuses: string[] | null;
  /** Those of the statuses that are states of `created`. */
  states: string[] | null;
  queues: string[] | null;
  names: string[] | null;
  ids: number[] | null;
  tags: string[] | null;
  createdBefore: Date | null;
  createdAfter: Date | null;
  finishedBefore: Date | null;
  finishedAfter: Date | null;
  error: string | null;
  params: string | null;
}

function toFilterParameters(filter: TaskFilter): FilterParameters {
  const statuses = listOf(filter.status);
  return {
    statuses,
    states: statuses && statuses.filter((status) => (CREATED_STATES as readonly string[]).includes(status)),
    queues: listOf(filter.queue),
    names: listOf(filter.funcName),
    ids: filter.ids ?? null,
    tags: filter.tags ?? null,
    createdBefore: filter.createdBefore ?? null,
    createdAfter: filter.createdAfter ?? null,
    finishedBefore: filter.finishedBefore ?? null,
    finishedAfter: filter.finishedAfter ?? null,
    error: filter.error ?? null,
    params: filter.params === undefined ? null : JSON.stringify(filter.params),
  };
}

/** A value or a list of them as a list; null if there is none. */
export function listOf<T>(value: T | T[] | undefined): T[] | null {
  return value === undefined ? null : Array.isArray(value) ? value : [value];
}

/** The conditions of a filter, on columns of `task_record`. The cheap ones come first: PostgreSQL keeps their order. */
export function matches(sql: Tag, filter: TaskFilter): unknown {
  const {
    statuses,
    states,
    queues,
    names,
    ids,
    tags,
    createdBefore,
    createdAfter,
    finishedBefore,
    finishedAfter,
    error,
    params,
  } = toFilterParameters(filter);
  return sql.fragment`(${statuses}::text[] IS NULL OR status = ANY (${statuses}::text[])
        OR (status = 'created' AND cardinality(${states}::text[]) > 0 AND state = ANY (${states}::text[])))
      AND (${queues}::text[] IS NULL OR queue = ANY (${queues}::text[]))
      AND (${names}::text[] IS NULL OR func_name = ANY (${names}::text[]))
      AND (${ids}::bigint[] IS NULL OR id = ANY (${ids}::bigint[]))
      AND (${tags}::text[] IS NULL OR tags @> ${tags}::text[])
      AND (${createdBefore}::timestamptz IS NULL OR created < ${createdBefore}::timestamptz)
      AND (${createdAfter}::timestamptz IS NULL OR created >= ${createdAfter}::timestamptz)
      AND (${finishedBefore}::timestamptz IS NULL
        OR COALESCE(completed, failed, cancelled) < ${finishedBefore}::timestamptz)
      AND (${finishedAfter}::timestamptz IS NULL
        OR COALESCE(completed, failed, cancelled) >= ${finishedAfter}::timestamptz)
      AND (${error}::text IS NULL OR (status <> 'completed' AND strpos(
        lower(errors -> -1 ->> 'name' || ': ' || (errors -> -1 ->> 'message')), lower(${error}::text)
      ) > 0))
      AND (${params}::text IS NULL OR ${sql.schema}.try_decode(params) @> ${params}::text::jsonb)`;
}

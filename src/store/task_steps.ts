import type { Tag } from "../database/driver.ts";
import type { ErrorRow } from "./rows.ts";
import { toNumber } from "./rows.ts";

/** Results that are longer are not read for a list of steps, in bytes. */
const MAX_RESULT = 2_000;

/** A step of a task as a list of them shows it. */
export interface ListedStep {
  readonly name: string;
  readonly key: string;
  readonly kind: "step" | "sleep" | "signal" | "call" | "compensation";
  readonly status: "waiting" | "completed" | "failed";
  readonly version: number;
  readonly attempt: number;
  readonly failures: number;
  readonly began: Date;
  readonly ended: Date | null;
  readonly due: Date | null;
  /** The first callees of a call, and how many there are. */
  readonly callees: readonly number[];
  readonly calls: number;
  /** In the wire format; null for one that is too long for a list, too. */
  readonly returned: string | null;
  readonly bytes: number;
  /** Without its stack. */
  readonly error: Pick<ErrorRow, "name" | "message"> | null;
}

/** Some of the steps of a task, in the order in which they began. */
export interface StepPage {
  readonly steps: readonly ListedStep[];
  /** The place of the first of them, from 1. */
  readonly from: number;
  /** How many steps the task has, how many of them failed, and how many wait. */
  readonly total: number;
  readonly failed: number;
  readonly waiting: number;
}

/** The columns of a step as lists have them. */
function columns(sql: Tag): unknown {
  return sql
    .fragment`step.name, step.key, step.kind, step.status, step.version, step.attempt, step.failures, step.began,
      step.ended, step.due, to_json(step.callees[:4]) AS callees, COALESCE(cardinality(step.callees), 0) AS calls,
      CASE WHEN octet_length(step.returned) <= ${MAX_RESULT}::integer THEN step.returned END AS returned,
      COALESCE(octet_length(step.returned), 0) AS bytes,
      CASE WHEN step.error IS NOT NULL THEN jsonb_build_object(
        'name', left(step.error ->> 'name', 200), 'message', left(step.error ->> 'message', 500)
      ) END AS error`;
}

/**
 * Reads steps of a task in the order in which they began: as many as `limit`, up to the place `last`, or the newest. All
 * of a task's steps are put in order for that, by their times and names alone: 10,000 of them take some 15 ms.
 */
export async function readStepPage(
  sql: Tag,
  id: number,
  { last, limit }: { last: number | null; limit: number },
): Promise<StepPage> {
  const rows = await sql`
    WITH placed AS MATERIALIZED (
      SELECT name, key, row_number() OVER (ORDER BY began, seq NULLS LAST, name, key)::integer AS place,
        count(*) OVER ()::integer AS total, count(*) FILTER (WHERE status = 'failed') OVER ()::integer AS failed_steps,
        count(*) FILTER (WHERE status = 'waiting') OVER ()::integer AS waiting_steps
      FROM ${sql.schema}.step
      WHERE task_id = ${id}::bigint
    )
    SELECT placed.place, placed.total, placed.failed_steps, placed.waiting_steps, ${columns(sql)}
    FROM placed
    JOIN ${sql.schema}.step ON step.task_id = ${id}::bigint AND step.name = placed.name AND step.key = placed.key
    WHERE placed.place <= LEAST(COALESCE(${last}::integer, placed.total), placed.total)
      AND placed.place > LEAST(COALESCE(${last}::integer, placed.total), placed.total) - ${limit}::integer
    ORDER BY placed.place
  `;
  const [first] = rows;
  return {
    steps: rows.map((row) => toListed(row as unknown as ListedStep)),
    from: first?.place ?? 1,
    total: first?.total ?? 0,
    failed: first?.failed_steps ?? 0,
    waiting: first?.waiting_steps ?? 0,
  };
}

/** Reads the steps of a task that wait, those that began first before the others. */
export async function readWaitingSteps(sql: Tag, id: number, limit: number): Promise<ListedStep[]> {
  const rows = await sql`
    SELECT ${columns(sql)}
    FROM ${sql.schema}.step
    WHERE step.task_id = ${id}::bigint AND step.status = 'waiting'
    ORDER BY step.began, step.name, step.key
    LIMIT ${limit}::integer
  `;
  return rows.map((row) => toListed(row as unknown as ListedStep));
}

function toListed(row: ListedStep): ListedStep {
  return { ...row, callees: (row.callees ?? []).map(toNumber) };
}

/** A step with all of its result and error. */
export interface WholeStep extends Omit<ListedStep, "error"> {
  readonly error: Omit<ErrorRow, "at" | "attempt"> | null;
  /** How many steps had ended before it: those that a fork from it keeps. */
  readonly before: number;
}

/** Reads one step of a task, with up to 100 of its callees; undefined if there is none. */
export async function readWholeStep(
  sql: Tag,
  id: number,
  { name, key }: { name: string; key: string },
): Promise<WholeStep | undefined> {
  const [row] = await sql`
    SELECT step.name, step.key, step.kind, step.status, step.version, step.attempt, step.failures, step.began, step.ended,
      step.due, to_json(step.callees[:100]) AS callees, COALESCE(cardinality(step.callees), 0) AS calls, step.returned,
      COALESCE(octet_length(step.returned), 0) AS bytes, step.error, (
        SELECT count(*)::integer
        FROM ${sql.schema}.step AS earlier
        WHERE earlier.task_id = step.task_id AND earlier.seq < COALESCE(step.seq, 2147483647)
      ) AS before
    FROM ${sql.schema}.step
    WHERE step.task_id = ${id}::bigint AND step.name = ${name}::text AND step.key = ${key}::text
  `;
  return row && { ...row as unknown as WholeStep, callees: (row.callees ?? []).map(toNumber) };
}

import type { Tag } from "../database/driver.ts";
import { parseTime } from "../database/times.ts";
import type { Explanation, Reason } from "../task/explanation.ts";
import type { TaskStatus } from "../task/record.ts";
import { toNumber } from "./rows.ts";

/** Asks the database why a task does not run; undefined if there is no such task. */
export async function explainTask(sql: Tag, id: number): Promise<Explanation | undefined> {
  const rows = await sql`
    SELECT reason, message, data
    FROM ${sql.schema}.explain(${id}::bigint)
  `;
  const reasons = rows.map(({ reason, message, data }) => ({ reason, message, ...toPublic(data) }) as Reason);
  const [first] = reasons;
  return first && { id, status: statusOf(first), summary: first.message, reasons };
}

/** Finds the task of a queue that consumers take next: the first that is ready, else the first that waits. */
export async function nextOfQueue(sql: Tag, queue: string): Promise<number | undefined> {
  const [row] = await sql`
    (SELECT id FROM ${sql.schema}.ready WHERE queue = ${queue} ORDER BY priority DESC, not_before, id LIMIT 1)
    UNION ALL
    (SELECT id FROM ${sql.schema}.waiting WHERE queue = ${queue} ORDER BY not_before, id LIMIT 1)
    LIMIT 1
  `;
  return row && toNumber(row.id);
}

function statusOf(first: Reason): TaskStatus {
  if (first.reason === "ended") return first.status;
  return first.reason === "running" || first.reason === "orphaned" ? "running" : "created";
}

/** The members of a reason that are times. */
const TIMES = ["at", "since", "until", "lease_until"];

/** Converts the data of a reason: names to camel case, times to dates. */
function toPublic(data: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(data).map(([key, value]) => [
      key.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase()),
      TIMES.includes(key) && typeof value === "string" ? parseTime(value) : toPublicValue(value),
    ]),
  );
}

function toPublicValue(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(toPublicValue);
  return typeof value === "object" && value !== null ? toPublic(value as Record<string, unknown>) : value;
}

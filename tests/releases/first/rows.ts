import { parseTime } from "../../../src/database/times.ts";
import type { Backoff } from "../../../src/task/backoff.ts";
import type { AttemptedBy } from "../../../src/events.ts";
import type { NewTask } from "./new_task.ts";
import type { TaskState, TaskStatus } from "../../../src/task/record.ts";

export interface TaskRow {
  id: string;
  func_name: string;
  queue: string;
  status: TaskStatus;
  state: TaskState;
  priority: number;
  created: Date;
  not_before: Date;
  started: Date | null;
  completed: Date | null;
  failed: Date | null;
  cancelled: Date | null;
  params: string;
  returned: string | null;
  attempt: number;
  retry_attempts: number;
  max_retries: number | null;
  retry_delay: number | null;
  backoff: Backoff | null;
  timeout: number | null;
  rescues: number;
  snoozes: number;
  progress: number | null;
  progress_note: string | null;
  errors: ErrorRow[];
  tags: string[];
  traceparent: string | null;
  dependencies: number;
  forked_from: string | number | null;
  attempted_by: AttemptedBy | null;
}

export interface ErrorRow {
  name: string;
  message: string;
  code?: string;
  statement?: string;
  stack?: string;
  cause?: string;
  at: string;
  attempt: number;
  delay?: number;
  seconds?: number;
  host?: string;
  pid?: number;
  release?: string | null;
}

type NewColumn =
  | "func_name"
  | "queue"
  | "params"
  | "priority"
  | "max_retries"
  | "retry_delay"
  | "backoff"
  | "timeout"
  | "tags";

export function newRow(
  task: Pick<TaskRow, NewColumn> & Pick<NewTask, "concurrency_key" | "rate_key" | "traceparent" | "depends">,
  { id, created, not_before }: Pick<TaskRow, "id" | "created" | "not_before">,
): TaskRow & { inserted: boolean } {
  return {
    id,
    func_name: task.func_name,
    queue: task.queue,
    status: "created",
    state: task.depends
      ? "dependent"
      : not_before > created
      ? "delayed"
      : task.concurrency_key ?? task.rate_key
      ? "limited"
      : "ready",
    priority: task.priority,
    created,
    not_before,
    started: null,
    completed: null,
    failed: null,
    cancelled: null,
    params: task.params,
    returned: null,
    attempt: 1,
    retry_attempts: 0,
    max_retries: task.max_retries,
    retry_delay: task.retry_delay,
    backoff: task.backoff,
    timeout: task.timeout,
    rescues: 0,
    snoozes: 0,
    progress: null,
    progress_note: null,
    errors: [],
    tags: [...task.tags], // a list can be changed, as a Date can
    traceparent: task.traceparent ?? null,
    dependencies: task.depends?.length ?? 0,
    forked_from: null,
    attempted_by: null,
    inserted: true,
  };
}

export function rowOfJson(json: Record<keyof TaskRow, unknown>): TaskRow {
  const times = ["created", "not_before", "started", "completed", "failed", "cancelled"] as const;
  const dates = times.map((time) => [time, json[time] === null ? null : timeOf(json[time] as string)]);
  return { ...json, id: String(json.id), ...Object.fromEntries(dates) } as TaskRow;
}

export function timeOf(json: string | null): Date {
  return json === null ? new Date(NaN) : parseTime(json);
}

export function toNumber(value: string | number): number {
  const number = Number(value);
  if (Number.isSafeInteger(number)) return number;
  throw new RangeError(`Cannot read id ${value} as it is past 2^53 - 1, the largest integer that a number can hold`);
}

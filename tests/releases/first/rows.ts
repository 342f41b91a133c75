import type { Backoff } from "../../../src/task/backoff.ts";
import type { TaskStatus } from "../../../src/task/record.ts";

export interface TaskRow {
  id: string;
  func_name: string;
  queue: string;
  status: TaskStatus;
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
}

export interface ErrorRow {
  name: string;
  message: string;
  stack?: string;
  cause?: string;
  at: string;
  attempt: number;
  delay?: number;
}

export function toNumber(value: string | number): number {
  const number = Number(value);
  if (Number.isSafeInteger(number)) return number;
  throw new RangeError(`Cannot read id ${value} as it is past 2^53 - 1, the largest integer that a number can hold`);
}

import type { Backoff } from "../../../src/task/backoff.ts";
import type { TaskStatus } from "../../../src/task/record.ts";

export interface NewTask extends Partial<UniqueColumns> {
  func_name: string;
  queue: string;
  params: string;
  priority: number;
  not_before: string | null;
  delay: number | null;
  max_retries: number | null;
  retry_delay: number | null;
  backoff: Backoff | null;
  timeout: number | null;
  tags: string[];
  concurrency_key?: string;
  rate_key?: string;
  traceparent?: string;
  depends?: readonly Dependency[];
}

export type Dependency =
  & ({ readonly id: number } | {
    readonly ref: number;
  })
  & {
    readonly settled?: boolean;
  };

export interface UniqueColumns {
  unique_key: string;
  unique_among: TaskStatus[] | null;
  unique_for: number | null;
  on_conflict: "keep" | "replace" | "error";
}

export interface InsertedTask {
  id: string;
  created: Date;
  not_before: Date;
}

import type { NewTask } from "../../src/store/new_task.ts";

/** A task as `schedule()` hands it to the store. */
export function newTask(columns: Partial<NewTask> = {}): NewTask {
  return {
    func_name: "test.task",
    queue: "default",
    params: "W10=",
    priority: 0,
    not_before: null,
    delay: null,
    max_retries: null,
    retry_delay: null,
    backoff: null,
    timeout: null,
    tags: [],
    ...columns,
  };
}

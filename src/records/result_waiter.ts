import type { Closing } from "../closing.ts";
import { withDeadline } from "../database/deadline.ts";
import type { Tag } from "../database/driver.ts";
import { toMilliseconds, toSeconds } from "../duration.ts";
import { TaskNotFound } from "../errors.ts";
import type { Listener } from "../notify/listener.ts";
import type { WaitOptions } from "../task/record.ts";
import { explainTask } from "../store/explain.ts";
import { endedChannel } from "../store/listen.ts";
import { readRecords, registerWaiters } from "../store/records.ts";
import { type TaskRow, toNumber } from "../store/rows.ts";
import { Wakeup } from "../wakeup.ts";

/** The shortest and the longest time between two reads of a record, in milliseconds, without a notification. */
const [FIRST_LOOK, LAST_LOOK] = [2, 1000];

/** How long the error after a timeout may wait for its reason, in milliseconds. */
const EXPLAIN_DEADLINE = 2000;

/** Waits for tasks to end. Wakes on NOTIFY, and reads their records at growing intervals in case one is missed. */
export class Results {
  readonly #sql: Tag;
  readonly #listener: Listener;
  readonly #closing: Closing;
  #reading: { ids: number[]; rows: Promise<Map<number, TaskRow>> } | undefined;

  constructor({ sql, listener, closing }: { sql: Tag; listener: Listener; closing: Closing }) {
    this.#sql = sql;
    this.#listener = listener;
    this.#closing = closing;
  }

  /**
   * Waits until task `id` has ended, and returns its record.
   *
   * @throws {TaskNotFound} If the record is deleted before that.
   * @throws {InstanceClosed} If the instance is closed before that.
   * @throws {DOMException} "TimeoutError" after the timeout; the signal's reason when it aborts.
   */
  async wait(id: number, { timeout, signal }: WaitOptions = {}): Promise<TaskRow> {
    const wakeup = new Wakeup();
    const deadline = timeout === undefined ? Infinity : performance.now() + toMilliseconds(timeout, "timeout");
    const wake = () => wakeup.wake();
    signal?.throwIfAborted();
    signal?.addEventListener("abort", wake);
    const forget = this.#closing.onClose(wake);
    const unsubscribe = this.#listener.subscribe([endedChannel(this.#sql.schemaName)], wake);
    try {
      await registerWaiters(this.#sql, [id]);
      for (let look = FIRST_LOOK;; look = Math.min(look * 2, LAST_LOOK)) {
        const row = (await this.#read(id)).get(id);
        if (!row) throw new TaskNotFound(id);
        if (row.status !== "created" && row.status !== "running") return row;
        const left = deadline - performance.now();
        if (left <= 0) {
          const text = `Task ${id} did not end within ${toSeconds(timeout!, "timeout")} s`;
          throw new DOMException(`${text}: ${await this.#explain(id)}`, "TimeoutError");
        }
        await wakeup.sleep(Math.min(look, left));
        this.#closing.throwIfClosed();
        signal?.throwIfAborted();
      }
    } finally {
      unsubscribe();
      forget();
      signal?.removeEventListener("abort", wake);
    }
  }

  /** Says why a task has not ended; where that cannot be read, how to ask. */
  async #explain(id: number): Promise<string> {
    const explained = withDeadline(explainTask(this.#sql, id), EXPLAIN_DEADLINE).catch(() => undefined);
    return (await explained)?.summary ?? `"firefly explain ${id}" says why`;
  }

  /** Reads a record, in one statement with those requested in the same turn of the event loop. */
  #read(id: number): Promise<Map<number, TaskRow>> {
    if (!this.#reading) {
      const reading = this.#reading = { ids: [] as number[], rows: Promise.resolve(new Map<number, TaskRow>()) };
      reading.rows = new Promise<void>((resolve) => setImmediate(resolve)).then(async () => {
        this.#reading = undefined;
        const rows = await readRecords(this.#sql, reading.ids);
        return new Map(rows.map((row) => [toNumber(row.id), row]));
      });
    }
    this.#reading.ids.push(id);
    return this.#reading.rows;
  }
}

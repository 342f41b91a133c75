import type { Closing } from "../closing.ts";
import type { Tag } from "../database/driver.ts";
import { TaskNotFound } from "../errors.ts";
import type { Listener } from "../notify/listener.ts";
import { endedChannel } from "../store/listen.ts";
import { readRecords, registerWaiters } from "../store/records.ts";
import type { TaskRow } from "../store/rows.ts";
import { Wakeup } from "../wakeup.ts";

/** Options of `watch()`. */
export interface WatchOptions {
  /** Stops watching and throws the signal's reason when it aborts. */
  signal?: AbortSignal;
}

/** How often to read the record, in milliseconds. Progress is stored as often, and sends no notification. */
const LOOK = 500;

/**
 * Yields the row of task `id` now and after every change, until the task ends. NOTIFY reports the end; other changes
 * are found by reading the row every {@linkcode LOOK} milliseconds.
 *
 * @throws {TaskNotFound} If the record is deleted.
 * @throws {InstanceClosed} If the instance is closed.
 */
export async function* watchRow(
  { sql, listener, closing, id }: { sql: Tag; listener: Listener; closing: Closing; id: number },
  { signal }: WatchOptions,
): AsyncGenerator<TaskRow, void, undefined> {
  const wakeup = new Wakeup();
  const wake = () => wakeup.wake();
  signal?.throwIfAborted();
  signal?.addEventListener("abort", wake);
  const forget = closing.onClose(wake);
  let unsubscribe = () => {};
  try {
    for (let [seen, looks] = ["", 0];; looks++) {
      // An end before registerWaiters() sends no notification: the second read, right after it, sees that end.
      if (looks === 1) {
        unsubscribe = listener.subscribe([endedChannel(sql.schemaName)], wake);
        await registerWaiters(sql, [id]);
      }
      if (looks > 1) await wakeup.sleep(LOOK);
      closing.throwIfClosed();
      signal?.throwIfAborted();
      const [row] = await readRecords(sql, [id]);
      if (!row) throw new TaskNotFound(id);
      const version = JSON.stringify(row);
      if (version === seen) continue;
      seen = version;
      yield row;
      if (row.status !== "created" && row.status !== "running") return;
    }
  } finally {
    unsubscribe();
    forget();
    signal?.removeEventListener("abort", wake);
  }
}

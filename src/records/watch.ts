import type { Tag } from "../database/driver.ts";
import { TaskNotFound } from "../errors.ts";
import type { Listener } from "../notify/listener.ts";
import { endedChannel } from "../store/listen.ts";
import { readRecords, registerWaiters } from "../store/records.ts";
import type { TaskRow } from "../store/rows.ts";
import { Wakeup } from "../wakeup.ts";

/** How to watch a record. */
export interface WatchOptions {
  /** Ends the watching with the signal's reason when it aborts. */
  signal?: AbortSignal;
}

/** The time between two looks at a record, in milliseconds: progress is stored as often, and rings nothing. */
const LOOK = 500;

/**
 * The row of task `id` as it is, and again whenever it has changed, up to its end, which is told of by NOTIFY.
 *
 * @throws {TaskNotFound} If it is deleted.
 */
export async function* watchRow(
  { sql, listener, id }: { sql: Tag; listener: Listener; id: number },
  { signal }: WatchOptions,
): AsyncGenerator<TaskRow, void, undefined> {
  const wakeup = new Wakeup();
  const wake = () => wakeup.wake();
  signal?.throwIfAborted();
  signal?.addEventListener("abort", wake);
  let unsubscribe = () => {};
  try {
    for (let [seen, looks] = ["", 0];; looks++) {
      // What happens before it is known that somebody waits rings nobody, and is seen by the second look.
      if (looks === 1) {
        unsubscribe = listener.subscribe([endedChannel(sql.schemaName)], wake);
        await registerWaiters(sql, [id]);
      }
      if (looks > 1) await wakeup.sleep(LOOK);
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
    signal?.removeEventListener("abort", wake);
  }
}

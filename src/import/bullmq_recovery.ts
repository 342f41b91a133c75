import type { Tag } from "../database/driver.ts";
import { runTransaction, Transaction } from "../database/transaction.ts";
import { FireflyError } from "../errors.ts";
import type { Firefly } from "../firefly/firefly.ts";
import { deleteUnfinishedImport, isUnfinishedImport, lockImport, readTarget } from "../store/unfinished_import.ts";
import type { BullQueue } from "./bullmq_queue.ts";
import type { ImportReport } from "./report.ts";

/** How many jobs of earlier imports were removed, and returned. */
export type Recovered = ImportReport["recovered"];

/** A queue, and how its jobs are returned. */
interface HeldQueue {
  readonly queue: BullQueue;
  readonly major: number;
}

/**
 * Keeps other imports from these queues out until the end of the transaction. An import holds jobs and commits under this
 * lock: so the transaction that has it sees whether an earlier import was committed.
 *
 * @throws {FireflyError} If another import has a queue.
 */
export async function lockQueues(sql: Tag, open: readonly HeldQueue[]): Promise<void> {
  for (const { queue } of open) {
    if (await lockImport(sql, queue.base)) continue;
    throw new FireflyError(`Cannot import from BullMQ as another import from its queue "${queue.name}" is under way`);
  }
}

/**
 * Finishes imports that did not end: removes the jobs whose tasks were committed, and returns the others. An import is
 * forgotten in Redis after its row is deleted here, so that neither is left alone.
 */
export async function recoverImports(firefly: Firefly, open: readonly HeldQueue[]): Promise<Recovered> {
  const { ended, ...recovered } = await inTransaction(firefly, async (sql) => {
    await lockQueues(sql, open);
    const found = { removed: 0, returned: 0, ended: [] as [BullQueue, string][] };
    for (const { queue, major } of open) {
      for (const { id } of await importsOf(sql, queue)) {
        const held = await queue.held(id);
        if (await isUnfinishedImport(sql, id)) found.removed += await queue.remove(id, held);
        else found.returned += await queue.giveBack(id, held, major);
        await deleteUnfinishedImport(sql, id);
        found.ended.push([queue, id]);
      }
    }
    return found;
  });
  for (const [queue, id] of ended) await queue.forget(id);
  return recovered;
}

/** Counts what {@linkcode recoverImports} would do. */
export async function countUnfinished(sql: Tag, open: readonly HeldQueue[]): Promise<Recovered> {
  const counted = { removed: 0, returned: 0 };
  for (const { queue } of open) {
    for (const { id } of await importsOf(sql, queue)) {
      const { length } = await queue.held(id);
      counted[await isUnfinishedImport(sql, id) ? "removed" : "returned"] += length;
    }
  }
  return counted;
}

/** The imports that hold jobs of a queue. Only the database that one imports into knows whether it was committed. */
async function importsOf(sql: Tag, queue: BullQueue): Promise<{ id: string }[]> {
  const imports = await queue.imports();
  const target = imports.length > 0 ? await readTarget(sql) : "";
  const other = imports.find((each) => each.target !== target);
  if (!other) return imports;
  const [, database, schema] = other.target.split("/");
  throw new FireflyError(
    `Cannot import from BullMQ as an import from its queue "${queue.name}" into schema "${schema}" of database ` +
      `"${database}" did not end: run that one again first`,
  );
}

/** Removes the jobs of an import that is committed. */
export async function finishImports(
  firefly: Firefly,
  open: readonly { queue: BullQueue; importId: string }[],
): Promise<void> {
  const { database: { records: sql } } = await firefly.connect();
  try {
    for (const { queue, importId } of open) {
      await queue.remove(importId, await queue.held(importId));
      await deleteUnfinishedImport(sql, importId);
      await queue.forget(importId);
    }
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new FireflyError(
      `Cannot remove jobs from BullMQ that are tasks by now: ${reason}. No worker runs them there: run the import again, ` +
        "and it removes them",
      { cause: error },
    );
  }
}

/** Runs `fn` in a transaction of its own. */
export async function inTransaction<T>(firefly: Firefly, fn: (sql: Tag) => Promise<T>): Promise<T> {
  const { sessions } = await firefly.connect();
  const transaction = Transaction.on(sessions, { schema: firefly.schema, setup: "SET LOCAL lock_timeout = '15s';" });
  return await runTransaction(transaction, ({ statements }) => fn(statements));
}

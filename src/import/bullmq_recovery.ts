import type { Tag } from "../database/driver.ts";
import { FireflyError } from "../errors.ts";
import type { Firefly } from "../firefly/firefly.ts";
import { deleteUnfinishedImport, isUnfinishedImport, lockImport, readTarget } from "../store/import/unfinished.ts";
import type { BullQueue } from "./bullmq_queue.ts";
import type { ImportReport } from "./report.ts";

/** What became of the jobs that earlier imports held. */
export type Recovered = ImportReport["recovered"];

/** A queue, and how its jobs are returned. */
interface HeldQueue {
  readonly queue: BullQueue;
  readonly major: number;
}

/**
 * Keeps other imports from these queues out until the end of the transaction. An import holds jobs and commits under this
 * lock: so whoever has it knows whether an earlier import was committed.
 *
 * @throws {FireflyError} If another import has a queue.
 */
export async function lockQueues(sql: Tag, open: readonly HeldQueue[]): Promise<void> {
  for (const { queue } of open) {
    if (await lockImport(sql, queue.base)) continue;
    throw new FireflyError(`Cannot import from BullMQ as another import from its queue "${queue.name}" is under way`);
  }
}

/** Finishes imports that did not end: removes the jobs whose tasks were committed, and returns the others. */
export async function recoverImports(sql: Tag, open: readonly HeldQueue[]): Promise<Recovered> {
  await lockQueues(sql, open);
  const recovered = { removed: 0, returned: 0 };
  for (const { queue, major } of open) {
    for (const { id } of await importsOf(sql, queue)) {
      const held = await queue.held(id);
      if (await isUnfinishedImport(sql, id)) {
        recovered.removed += await queue.remove(id, held);
        await deleteUnfinishedImport(sql, id);
      } else recovered.returned += await queue.giveBack(id, held, major);
    }
  }
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

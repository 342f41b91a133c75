import { assertEquals } from "@std/assert";
import { CronScheduler } from "../../src/schedule/cron_scheduler.ts";
import { defineTask, namesOf, type TaskDefinition } from "../../src/task/definition.ts";
import type { CronOptions, TaskOptions } from "../../src/task/options.ts";
import type { TestDatabase } from "./database.ts";

export const [EVERY_SECOND, EVERY_MINUTE] = ["* * * * * *", "* * * * *"];

/** A definition as another release may have it: it is not in the registry. */
export function define(options: TaskOptions<[]> & Partial<CronOptions>): TaskDefinition {
  return defineTask(options, () => {});
}

/** A scheduler that knows these tasks, with its errors and its rounds. */
export function testTimer(
  db: TestDatabase,
  definitions: TaskDefinition[],
  { defaults = {}, consumerId = crypto.randomUUID() as string, round = 60 } = {},
) {
  const errors: unknown[] = [];
  const turns = { good: 0 };
  const timer = new CronScheduler({
    sql: db.store,
    definitions: new Map(definitions.flatMap((definition) => namesOf(definition).map((name) => [name, definition]))),
    defaults,
    consumerId: () => consumerId,
    round,
    onError: (error) => errors.push(error),
    onSuccess: () => turns.good++,
  });
  return { timer, errors, turns, [Symbol.asyncDispose]: () => timer.end() };
}

/** Starts a scheduler, as a consumer does at its start. */
export async function startTimer(...args: Parameters<typeof testTimer>) {
  const test = testTimer(...args);
  await test.timer.start();
  return test;
}

/** The slots that fired, and the tasks that came of them, which must be one each. */
export async function firedSlots(db: TestDatabase, name: string): Promise<Date[]> {
  // In one statement: the slots go on.
  const [row] = await db.sql`
    SELECT (SELECT count(*)::int FROM firefly.task WHERE func_name = ${name}) AS tasks,
      ARRAY(SELECT not_before FROM firefly.task WHERE func_name = ${name} ORDER BY 1) AS due,
      ARRAY(SELECT slot FROM firefly.cron_slot WHERE cron = ${name} ORDER BY 1) AS slots
  `;
  assertEquals(row!.due, row!.slots);
  return row!.slots;
}

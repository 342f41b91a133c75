import type { TestDatabase } from "./database.ts";

/** Text that breaks pages which are careless with it: a name of a task may be any of 200 characters. */
export const HOSTILE_NAME = `"><script>alert(1)</script>&amp;'\u202e💥 {{x}} ${"w".repeat(120)}`;

/** Writes what consumers count of a queue in the minute that began so many minutes ago. */
export async function countQueue(
  db: TestDatabase,
  {
    queue = "default",
    ago = 0,
    completed = 0,
    failed = 0,
    retried = 0,
    wait = [] as number[],
    due = 0,
    waiting = 0,
    running = 0,
    places = 0,
  },
): Promise<void> {
  await db.sql`
    INSERT INTO firefly.queue_minute (minute, queue, completed, failed, retried, wait, due, waiting, running, places)
    VALUES (
      date_trunc('minute', now()) - make_interval(mins => ${ago}), ${queue}, ${completed}, ${failed}, ${retried}, ${wait},
      ${due}, ${waiting}, ${running}, ${places}
    )
  `;
}

/** Writes what consumers count of a name in the minute that began so many minutes ago. */
export async function countName(
  db: TestDatabase,
  { name = "test.task", queue = "default", ago = 0, completed = 0, failed = 0, retried = 0, run = [] as number[] },
): Promise<void> {
  await db.sql`
    INSERT INTO firefly.task_minute (minute, queue, func_name, completed, failed, retried, run)
    VALUES (
      date_trunc('minute', now()) - make_interval(mins => ${ago}), ${queue}, ${name}, ${completed}, ${failed}, ${retried}, ${run}
    )
  `;
}

/** Writes errors that are alike, and the tasks that failed for good by them. */
export async function addErrors(
  db: TestDatabase,
  { fingerprint = 1, name = "test.task", error = "Error", message = "no", attempts = 1, failed = 0 },
): Promise<void> {
  await db.sql`
    INSERT INTO firefly.error_group (fingerprint, queue, func_name, name, message, first, last, attempts, last_task_id)
    VALUES (${fingerprint}, 'default', ${name}, ${error}, ${message}, now() - interval '2 hours', now(), ${attempts}, 1)
  `;
  await db.sql`
    INSERT INTO firefly.failed_task (task_id, failed, queue, func_name, fingerprint)
    SELECT ${
    fingerprint * 1000
  } + id, now(), 'default', ${name}, ${fingerprint} FROM generate_series(1, ${failed}) AS id
  `;
}

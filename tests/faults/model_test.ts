import { assert, assertEquals, assertMatch } from "@std/assert";
import { testDatabase } from "../support/database.ts";
import { runSeeds, SEEDS, STEPS } from "./model.ts";
import { TRANSITIONS } from "./model/life.ts";
import { runModel } from "./model/run.ts";

console.log(`MODEL_SEED=${SEEDS.join()} MODEL_STEPS=${STEPS}`);

Deno.test(`The tables hold what the model says after each of ${STEPS} random steps, with ${SEEDS.length} seeds`, async () => {
  const all = await runSeeds(SEEDS, STEPS);

  if (STEPS * SEEDS.length < 50_000) return;
  const missing = TRANSITIONS.filter((transition) => !all.has(transition));
  assertEquals(missing, [], "These were never seen");
});

/** Statements that take a part of a function away, which stands in it once. */
function edit(name: string, find: string, replace: string): string {
  const quote = (text: string) => `$edit$${text}$edit$`;
  return `
    DO $do$
    DECLARE
      code text := pg_get_functiondef('firefly.${name}'::regproc);
    BEGIN
      IF array_length(string_to_array(code, ${quote(find)}), 1) <> 2 THEN
        RAISE EXCEPTION 'Cannot edit ${name}() as its code has changed';
      END IF;
      EXECUTE replace(code, ${quote(find)}, ${quote(replace)});
    END $do$`;
}

/** What is taken from the database, and what the model test then says: without these it could not fail. */
const CONTROLS: { without: string; sql: string; says: RegExp }[] = [
  {
    without: "the fence growing",
    sql: `
      CREATE FUNCTION stay() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.claim_seq := OLD.claim_seq; RETURN NEW; END';
      CREATE TRIGGER stay BEFORE UPDATE ON firefly.task FOR EACH ROW EXECUTE FUNCTION stay()`,
    says: /task \d+ stands in 2 places|claim_seq is \d+ instead of/,
  },
  {
    without: "the trigger that gives keys and slots back",
    sql: "DROP TRIGGER release ON firefly.task",
    says:
      /still holds its key|does not hold its key|task \d+ holds \[|claim_seq is \d+ instead of|noted nowhere|no row of failed_task/,
  },
  {
    without: "what places a record that a hand has edited",
    sql: `
      DROP TRIGGER release ON firefly.task;
      CREATE TRIGGER release AFTER UPDATE OF status, claim_seq ON firefly.task
      FOR EACH ROW WHEN (NEW.claim_seq <> OLD.claim_seq) EXECUTE FUNCTION firefly._release()`,
    says: /claim_seq is \d+ instead of|stands nowhere|has failed and has no row/,
  },
  {
    without: "the fence of a record that is moved",
    sql: `
      CREATE OR REPLACE FUNCTION firefly._take_place(
        task_id bigint, queue text, priority integer, not_before timestamptz, fence bigint
      ) RETURNS boolean
      LANGUAGE sql AS 'SELECT firefly._unplace(task_id, queue, priority, not_before, fence) OR true'`,
    says: /claim_seq is \d+ instead of|(ready|waiting) holds [^]*which it should not|Values are not equal/,
  },
  {
    without: "what places a new record",
    sql: "ALTER TABLE firefly.task DISABLE TRIGGER place_inserted",
    says: /task \d+ is created and stands nowhere/,
  },
  {
    without: "the note that a dependency has ended",
    sql: `
      CREATE FUNCTION forget() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
      CREATE TRIGGER forget BEFORE INSERT ON firefly.ended FOR EACH ROW EXECUTE FUNCTION forget()`,
    says: /has ended, and that is noted nowhere|ended lacks/,
  },
  {
    without: "the dependencies of a task that is placed anew",
    sql: `
      CREATE OR REPLACE FUNCTION firefly._depend_again(task_id bigint) RETURNS void
      LANGUAGE sql AS 'UPDATE firefly.dependency SET status = NULL WHERE false'`,
    says:
      /dependency \d+\/\d+: status is \w+ instead of null|pending is \w+ instead of \d+|waits for \d+ tasks, and|waiting lacks|ended lacks/,
  },
  {
    without: "waking what waits for a signal",
    sql: edit("_signal", `PERFORM "firefly"._wake(ARRAY[_signal.task_id]);`, "NULL;"),
    says: /waits for the signal "\w+", which has been sent/,
  },
  {
    without: "a look for signals that came before the wait",
    sql: edit("_suspend", "WHERE signal.task_id = given.task_id AND signal.name = given.name", "WHERE false"),
    says: /waits for the signal "\w+", which has been sent/,
  },
  {
    without: "telling callers",
    sql: edit("_tell_callers", `"firefly"._wake(over)`, "0"),
    says: /waits for \d+ callees, and of its calls [\d,]* are open|waiting lacks|Values are not equal/,
  },
  {
    without: "counting the callees that have ended before the wait",
    sql: edit("_count_open", "AND dependency.status IS NULL", ""),
    says:
      /waits for \d+ callees, and of its calls [\d,]* are open|pending is \d+ instead of \d+|holds [^]*which it should not|Values are not equal/,
  },
  {
    without: "cancelling callees with their caller",
    sql: edit("_cancel_callees", `FILTER (WHERE "firefly".cancel(callee.id))`, "FILTER (WHERE false)"),
    says: /goes on though task \d+, which has called it, has ended|Values are not equal/,
  },
  {
    without: "taking received signals away",
    sql: edit("_store_steps", "WHERE signal.id = memo.received AND", "WHERE false AND"),
    says: /signal holds [^]*which it should not|waits for the signal "\w+", which has been sent|Values are not equal/,
  },
  {
    without: "leaving the steps of a fork out that have not ended before its first one",
    sql: edit("_fork", "AND own.seq < until_seq", "AND own.seq IS NOT NULL"),
    says: /step holds [^]*which it should not/,
  },
  {
    without: "the dependencies of a fork",
    sql: edit("_fork", `PERFORM "firefly"._depend_alike(_fork.id, it.id);`, "NULL;"),
    says: /task \d+ has 0 dependencies instead of \d+|Values are not equal/,
  },
  {
    without: "the finality of an end",
    sql: `
      CREATE FUNCTION revive() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        UPDATE firefly.task SET status = 'created' WHERE status = 'completed' AND id < NEW.id;
        RETURN NULL;
      END $$;
      CREATE TRIGGER revive AFTER INSERT ON firefly.task FOR EACH ROW EXECUTE FUNCTION revive()`,
    says: /task \d+ was completed and is \w+ though nobody retried it/,
  },
];

for (const { without, sql, says } of CONTROLS) {
  Deno.test(`The model test fails without ${without}`, () => control(sql, says));
}

/** Some harm takes one of several seeds. */
async function control(sql: string, says: RegExp): Promise<void> {
  for (let seed = 1;; seed++) {
    await using db = await testDatabase();
    await db.sql.unsafe(sql);
    const error = await runModel(db, { seed, steps: 3_000 }).then(() => undefined, (error: Error) => error);
    if (error) return assertMatch(error.message, says);
    assert(seed < 5, "it passed with five seeds");
  }
}

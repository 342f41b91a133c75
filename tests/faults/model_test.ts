import { assertEquals, assertMatch, assertRejects } from "@std/assert";
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
      /dependency \d+\/\d+: status is \w+ instead of null|pending is \d+ instead of \d+|waits for \d+ tasks, and|waiting lacks/,
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
  Deno.test(`The model test fails without ${without}`, async () => {
    await using db = await testDatabase();
    await db.sql.unsafe(sql);
    const error = await assertRejects(() => runModel(db, { seed: 1, steps: 3_000 }), Error);
    assertMatch(error.message, says);
  });
}

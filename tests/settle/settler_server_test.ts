import { assertEquals } from "@std/assert";
import { Settler } from "../../src/settle/settler.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { claimMany } from "../support/claiming.ts";
import { outcomeOf } from "../support/settling.ts";
import { counting } from "../support/statements.ts";
import { until } from "../support/waiting.ts";

/** Makes updates of `firefly.task` fail with `code`, the first `times` of them. */
async function failUpdates(db: TestDatabase, code: string, times: number): Promise<void> {
  await db.sql.unsafe(`
    CREATE SEQUENCE updates; -- no ROLLBACK takes its numbers back
    CREATE FUNCTION fail_update() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN
      IF nextval('updates') <= ${times} THEN RAISE EXCEPTION 'it was raised' USING ERRCODE = '${code}'; END IF;
      RETURN NEW;
    END $$;
    CREATE TRIGGER fail_update BEFORE UPDATE ON firefly.task FOR EACH ROW EXECUTE FUNCTION fail_update()`);
}

for (const code of ["25006", "57014", "58000", "55P03", "53200"]) {
  Deno.test(`settle() retries when its statement fails by ${code}, which is no fault of an outcome`, async () => {
    await using db = await testDatabase();
    const [task] = await claimMany(db, 1);
    await failUpdates(db, code, 2);
    const settler = new Settler(db.store);
    settler.track(task!.batchId, 1);
    const heard: string[] = [];
    settler.outage = {
      onError: (error) => heard.push((error as { code: string }).code),
      onSuccess: () => heard.push(""),
    };

    assertEquals(await settler.settle(task!, outcomeOf(task!, { status: "failed", returned: null })), "failed");

    await settler.idle();
    assertEquals([heard.slice(0, 2), heard.at(-1)], [[code, code], ""]);
  });
}

Deno.test("settle() runs a statement that conflicts with another one again at once, and reports no outage", async () => {
  await using db = await testDatabase();
  const tasks = await claimMany(db, 3);
  await failUpdates(db, "40001", 3);
  const sql = counting(db.store);
  const settler = new Settler(sql);
  settler.track(tasks[0]!.batchId, 3);
  let outages = 0;
  settler.outage = { onError: () => outages++, onSuccess() {} };

  const settled = await Promise.all(tasks.map((task) => settler.settle(task, outcomeOf(task, {}))));
  await until(() => settler.unsettled === 0);

  assertEquals([settled, outages, sql.calls], [["completed", "completed", "completed"], 0, 1]);
});

import { assertEquals } from "@std/assert";
import { makeTag, openClient, type Rows } from "../../src/database/driver.ts";
import { rescueTasks } from "../../src/store/rescue.ts";
import { requeueForLimits, returnIdleSlots } from "../../src/store/limits.ts";
import { insertTasks } from "../../src/store/insert.ts";
import type { NewTask } from "../../src/store/new_task.ts";
import { settleTasks } from "../../src/store/settle.ts";
import { promoteDueTasks, unparkKnownTasks } from "../../src/store/waiting.ts";
import { testDatabase } from "../support/database.ts";

Deno.test("placeInReady() and placeInWaiting() make one prepared statement of each statement that they are part of", async () => {
  await using db = await testDatabase();
  const client = openClient(db.settings, { max: 1 } as never);
  await using _ = { [Symbol.asyncDispose]: () => client.end() };
  const sql = makeTag((build) => build(client) as unknown as Promise<Rows<never>>, "firefly");
  const task = { func_name: "a", queue: "default", params: "W10=", priority: 0, tags: [] } as unknown as NewTask;
  const statements: ((n: number) => Promise<unknown>)[] = [
    () => settleTasks(sql, [], []),
    () => requeueForLimits(sql, []),
    () => returnIdleSlots(sql),
    () => rescueTasks(sql),
    () => promoteDueTasks(sql, ["default"]),
    () => unparkKnownTasks(sql, { queues: ["default"], names: ["a"] }),
    (n) => insertTasks(sql, Array.from({ length: n }, (_, i) => ({ ...task, priority: i }))),
    (n) => insertTasks(sql, Array.from({ length: 8 + n }, () => task)),
  ];

  for (let n = 1; n <= 3; n++) for (const send of statements) await send(n);

  const inserts = '%INSERT INTO "firefly".%'; // a parameter, so that this statement is none of them
  const [row] = await client`SELECT count(*)::int AS count FROM pg_prepared_statements WHERE statement LIKE ${inserts}`;
  assertEquals(row!.count, statements.length);
});

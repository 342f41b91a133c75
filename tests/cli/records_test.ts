import { assertEquals, assertStringIncludes } from "@std/assert";
import { testDatabase } from "../support/database.ts";
import { jsonLines, testProject } from "../support/project.ts";

/** Tasks of every kind: 1 completed, 2 failed, 3 cancelled, 4 ready, 5 in another queue with labels. */
async function fill(sql: Awaited<ReturnType<typeof testDatabase>>["sql"]): Promise<void> {
  await sql`SELECT firefly.schedule('a', '[1]') FROM generate_series(1, 4)`;
  await sql`SELECT firefly.schedule('b', '[]', 'mail', tags => '{x,y}')`;
  await sql`DELETE FROM firefly.ready WHERE id <= 3`;
  await sql`
    UPDATE firefly.task SET status = 'completed', started = now(), completed = now(), claim_seq = 1,
      returned = firefly.encode('"done"')
    WHERE id = 1
  `;
  const error = { name: "TypeError", message: "bad", stack: "TypeError: bad\n    at f (a.ts:1:1)", attempt: 1 };
  await sql`
    UPDATE firefly.task SET status = 'failed', started = now(), failed = now(), claim_seq = 1,
      errors = jsonb_build_array(${sql.json(error)}::jsonb || jsonb_build_object('at', now()))
    WHERE id = 2
  `;
  await sql`UPDATE firefly.task SET status = 'cancelled', cancelled = now(), claim_seq = 1 WHERE id = 3`;
}

const lists: Record<string, [args: string[], ids: number[]]> = {
  "all, newest first": [[], [5, 4, 3, 2, 1]],
  "by status": [["--status", "completed"], [1]],
  "by several statuses": [["--status", "failed,cancelled", "--status", "completed"], [3, 2, 1]],
  "by queue": [["--queue", "mail"], [5]],
  "by name": [["--name", "a"], [4, 3, 2, 1]],
  "by labels": [["--tag", "x", "--tag", "y"], [5]],
  "by ids": [["1,2", "5"], [5, 2, 1]],
  "by everything at once": [["--status", "created", "--queue", "default", "--name", "a,b"], [4]],
  "as many as asked for": [["--limit", "2"], [5, 4]],
  "after an id": [["--after", "3"], [2, 1]],
  "nothing where nothing fits": [["--tag", "z"], []],
};

Deno.test("list shows the tasks that match the filters", async (t) => {
  await using db = await testDatabase();
  await fill(db.sql);
  await using project = await testProject({ database: db.url });

  for (const [what, [args, ids]] of Object.entries(lists)) {
    await t.step(what, async () => {
      const { code, stdout } = await project.run("list", ...args);

      assertEquals([code, jsonLines(stdout).map(({ id }) => id)], [0, ids]);
    });
  }
});

Deno.test("list reads more than one page", async () => {
  await using db = await testDatabase();
  await db.sql`SELECT firefly.schedule('a') FROM generate_series(1, 1203)`;
  await using project = await testProject({ database: db.url });

  const { stdout } = await project.run("list", "--limit", "1202");

  const ids = jsonLines(stdout).map(({ id }) => id);
  assertEquals([ids.length, ids[0], ids.at(-1), new Set(ids).size], [1202, 1203, 2, 1202]);
});

Deno.test("show prints the record by the names of its columns", async () => {
  await using db = await testDatabase();
  await fill(db.sql);
  await using project = await testProject({ database: db.url });

  const [completed] = jsonLines((await project.run("show", "1")).stdout);
  const [failed] = jsonLines((await project.run("show", "2")).stdout);

  assertEquals([completed.id, completed.func_name, completed.params, completed.returned], [1, "a", [1], "done"]);
  assertEquals([failed.status, failed.errors[0].message], ["failed", "bad"]);
});

Deno.test("show exits with 4 when there is no such task", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url });

  assertEquals(await project.run("show", "99"), { code: 4, stdout: "", stderr: "error: Cannot find task 99\n" });
});

Deno.test("show prints a record whose arguments cannot be decoded", async () => {
  await using db = await testDatabase();
  await db.sql`INSERT INTO firefly.task (func_name, params) VALUES ('a', 'no Base64!')`;
  await using project = await testProject({ database: db.url });

  const { code, stdout } = await project.run("show", "1");

  assertEquals([code, typeof jsonLines(stdout)[0].params.error], [0, "string"]);
});

/** The statuses of the tasks 1 to 5, null for those that are gone. */
async function statuses(sql: Awaited<ReturnType<typeof testDatabase>>["sql"]): Promise<(string | null)[]> {
  const rows = await sql`SELECT status FROM generate_series(1, 5) AS id LEFT JOIN firefly.task USING (id) ORDER BY id`;
  return rows.map(({ status }) => status);
}

const FILLED = ["completed", "failed", "cancelled", "created", "created"];
const acts: Record<string, [args: string[], printed: object, left: (string | null)[], exit?: number]> = {
  "retry of ids takes failed and cancelled": [
    ["retry", "2,3", "4"],
    { retried: 2, left: [{ reason: "waiting", count: 1, ids: [4] }] },
    ["completed", "created", "created", "created", "created"],
  ],
  "retry by filter leaves cancelled": [
    ["retry", "--queue", "default", "--yes"],
    { retried: 1 },
    ["completed", "created", "cancelled", "created", "created"],
  ],
  "retry --all leaves cancelled": [
    ["retry", "--all", "--yes"],
    { retried: 1 },
    ["completed", "created", "cancelled", "created", "created"],
  ],
  "retry --status cancelled takes cancelled": [
    ["retry", "--status", "cancelled", "--yes"],
    { retried: 1 },
    ["completed", "failed", "created", "created", "created"],
  ],
  "mark_failed_tasks_consumable retries failed": [
    ["mark_failed_tasks_consumable"],
    { retried: 1 },
    ["completed", "created", "cancelled", "created", "created"],
  ],
  "cancel of ids": [["cancel", "1,4"], { cancelled: 1, left: [{ reason: "completed", count: 1, ids: [1] }] }, [
    "completed",
    "failed",
    "cancelled",
    "cancelled",
    "created",
  ]],
  "cancel by filter": [["cancel", "--queue", "mail", "--yes"], { cancelled: 1 }, [...FILLED.slice(0, 4), "cancelled"]],
  "cancel of running tasks alone leaves those that wait": [
    ["cancel", "--status", "running", "--yes"],
    { cancelled: 0 },
    FILLED,
    7,
  ],
  "cancel --all": [["cancel", "--all", "--yes"], { cancelled: 2 }, [
    "completed",
    "failed",
    "cancelled",
    "cancelled",
    "cancelled",
  ]],
  "delete of what ended long ago": [["delete", "--older-than", "1h"], { deleted: 0 }, FILLED],
  "delete of what ended at all": [["delete", "--older-than", "0", "--yes"], { deleted: 3 }, [
    null,
    null,
    null,
    "created",
    "created",
  ]],
  "delete of ids": [["delete", "1", "4"], { deleted: 2 }, [null, "failed", "cancelled", null, "created"]],
  "delete by filter": [["delete", "--tag", "x", "--yes"], { deleted: 1 }, [...FILLED.slice(0, 4), null]],
  "delete by filter within ids": [["delete", "1,2", "--status", "failed"], { deleted: 1 }, [
    "completed",
    null,
    "cancelled",
    "created",
    "created",
  ]],
  "delete --all": [["delete", "--all", "--yes"], { deleted: 5 }, [null, null, null, null, null]],
  "delete_completed_tasks": [["delete_completed_tasks"], { deleted: 1 }, [null, ...FILLED.slice(1)]],
  "delete_failed_tasks within a queue": [["delete_failed_tasks", "--queue", "mail"], { deleted: 0 }, FILLED],
  "delete_failed_tasks": [["delete_failed_tasks"], { deleted: 1 }, [
    "completed",
    null,
    "cancelled",
    "created",
    "created",
  ]],
};

for (const [what, [args, printed, left, exit = 0]] of Object.entries(acts)) {
  Deno.test(`${what}`, async () => {
    await using db = await testDatabase();
    await fill(db.sql);
    await using project = await testProject({ database: db.url });

    const { code, stdout } = await project.run(...args);

    assertEquals([code, jsonLines(stdout)], [exit, [printed]]);
    assertEquals(await statuses(db.sql), left);
  });
}

for (const [command, id] of [["retry", "2"], ["cancel", "4"], ["delete", "2"]] as const) {
  Deno.test(`${command} refuses to choose every task by saying nothing`, async () => {
    await using project = await testProject();

    const nothing = await project.run(command);
    const both = await project.run(command, "1", "--all");

    assertEquals([nothing.code, both.code], [2, 2]);
    assertStringIncludes(nothing.stderr, "it needs ids, a filter such as --status failed, or --all");
    assertStringIncludes(both.stderr, "ids and --all exclude each other");
  });

  Deno.test(`${command} acts on the ids that exist, and exits with 4 for the others`, async () => {
    await using db = await testDatabase();
    await fill(db.sql);
    await using project = await testProject({ database: db.url });

    const { code, stdout, stderr } = await project.run(command, id, "98", "99");

    assertEquals([code, Object.values(jsonLines(stdout)[0])], [4, [1]]);
    assertEquals(stderr, "error: There is no task 98, 99\n");
  });
}

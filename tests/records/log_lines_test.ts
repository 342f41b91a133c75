import { assertEquals } from "@std/assert";
import postgres from "postgres";
import { LogWatch, readLastLines } from "../../src/records/log_lines.ts";
import type { LogFilter, LogLine } from "../../src/store/log_lines.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";

const ANY: LogFilter = { names: null, queues: null, taskIds: null, levels: null };

/** Stores a task with lines, so many seconds ago. */
async function keep(
  { sql }: Pick<TestDatabase, "sql">,
  { name = "a", queue = "default", lines }: {
    name?: string;
    queue?: string;
    lines: [ago: number, level: string, message: string][];
  },
): Promise<number> {
  const [row] = await sql`SELECT firefly.schedule(${name}, queue => ${queue}) AS id`;
  const id = Number(row!.id);
  for (const [ago, level, message] of lines) {
    await sql`
      INSERT INTO firefly.task_log (task_id, attempt, at, level, message)
      VALUES (${id}, 1, now() - make_interval(secs => ${ago}), ${level}, ${message})
    `;
  }
  return id;
}

const messagesOf = (lines: readonly LogLine[]) => lines.map(({ message }) => message);

Deno.test("readLastLines() reads the newest lines that match of all tasks, by their times, since a time", async () => {
  await using db = await testDatabase();
  const first = await keep(db, { lines: [[50, "info", "1"], [20, "warn", "4"]] });
  await keep(db, { name: "b", queue: "mail", lines: [[40, "error", "2"], [30, "debug", "3"], [10, "info", "5"]] });
  const read = async (filter: Partial<LogFilter>, { limit = 10, ago = 3600 } = {}) => {
    const since = new Date(Date.now() - ago * 1000);
    return messagesOf(await readLastLines(db.records, { ...ANY, ...filter }, { limit, since })).join(" ");
  };

  assertEquals(await read({}), "1 2 3 4 5");
  assertEquals(await read({}, { limit: 2 }), "4 5");
  assertEquals(await read({}, { ago: 35 }), "3 4 5");
  assertEquals(await read({ names: ["b", "none"] }), "2 3 5");
  assertEquals(await read({ queues: ["default"] }), "1 4");
  assertEquals(await read({ taskIds: [first] }, { ago: 35 }), "4");
  assertEquals(await read({ levels: ["warn", "error"] }), "2 4");
  assertEquals(await read({ levels: ["error"], names: ["a"] }), "");
});

Deno.test("readLastLines() finds a line below tens of thousands that do not match, and reads thousands", async () => {
  await using db = await testDatabase();
  const id = await keep(db, { name: "rare", lines: [[90_000, "error", "found"]] });
  const other = await keep(db, { lines: [] });
  // Many lines of one time, as a consumer's clock may be coarse.
  await db.sql`
    INSERT INTO firefly.task_log (task_id, attempt, at, level, message)
    SELECT ${other}, 1, date_trunc('minute', now()) - make_interval(secs => n / 97) + interval '0.0004 s', 'info', n
    FROM generate_series(45000, 1, -1) AS n
  `;

  assertEquals(messagesOf(await readLastLines(db.records, { ...ANY, names: ["rare"] }, { limit: 5, since: null })), [
    "found",
  ]);
  const [oldest] = await readLastLines(db.records, { ...ANY, taskIds: [id] }, { limit: 1, since: null });
  assertEquals([oldest!.funcName, oldest!.queue, oldest!.level, oldest!.attempt], ["rare", "default", "error", 1]);
  for (const levels of [null, ["info"] as const]) {
    const lines = await readLastLines(db.records, { ...ANY, levels }, { limit: 12_345, since: null });
    assertEquals(messagesOf(lines), Array.from({ length: 12_345 }, (_, n) => String(12_345 - n)));
  }
});

Deno.test("LogWatch finds a line of a long transaction that commits after a newer line", async () => {
  await using db = await testDatabase();
  const id = await keep(db, { lines: [[10, "info", "before"]] });
  const insert = (sql: TestDatabase["sql"], message: string) =>
    sql`INSERT INTO firefly.task_log (task_id, attempt, at, level, message) VALUES (${id}, 1, now(), 'info', ${message})`;
  const [early, late] = [await db.sql.reserve(), await db.sql.reserve()];
  try {
    await early`BEGIN`;
    await insert(early, "begun before the start");
    await insert(late, "newer than that");
    const watch = await LogWatch.start(db.records, ANY);
    assertEquals(messagesOf(await watch.next()), []);
    await early`COMMIT`;
    assertEquals(messagesOf(await watch.next()), ["begun before the start"]);

    await early`BEGIN`;
    await insert(early, "begun after it");
    for (let n = 0; n < 4; n++) {
      await insert(late, `newer ${n}`);
      assertEquals(messagesOf(await watch.next()), [`newer ${n}`]);
    }
    assertEquals(messagesOf(await watch.next()), []);
    await early`COMMIT`;
    assertEquals(messagesOf(await watch.next()), ["begun after it"]);

    await early`BEGIN`;
    await insert(early, "never there");
    await insert(late, "newest");
    assertEquals(messagesOf(await watch.next()), ["newest"]);
    await early`ROLLBACK`;
    for (let n = 0; n < 3; n++) assertEquals(messagesOf(await watch.next()), []);
  } finally {
    early.release();
    late.release();
  }
});

Deno.test("LogWatch finds each line once while many transactions commit in any order", async () => {
  await using db = await testDatabase();
  const id = await keep(db, { lines: [] });
  const watch = await LogWatch.start(db.records, ANY);
  const found: string[] = [];
  let isOver = false;
  const watching = (async () => {
    for (let after = 0; after < 3; after += isOver ? 1 : 0) found.push(...messagesOf(await watch.next()));
  })();
  const sql = postgres(db.url, { max: 4 });
  await Promise.all([0, 1, 2, 3].map(async (client) => {
    for (let n = 0; n < 60; n++) {
      await sql.begin(async (sql) => {
        await sql`
          INSERT INTO firefly.task_log (task_id, attempt, at, level, message)
          VALUES (${id}, 1, now(), 'info', ${`${client}:${n}`})
        `;
        await sql`SELECT pg_sleep(${(n * 7 + client * 3) % 11 / 1000})`;
      });
    }
  }));
  await sql.end();
  isOver = true;
  await watching;

  const expected = [0, 1, 2, 3].flatMap((client) => Array.from({ length: 60 }, (_, n) => `${client}:${n}`));
  assertEquals(found.toSorted(), expected.toSorted());
});

Deno.test("LogWatch leaves out lines that do not match, and those to skip", async () => {
  await using db = await testDatabase();
  await keep(db, { lines: [[1, "info", "before"]] });
  const watch = await LogWatch.start(db.records, { ...ANY, names: ["b"], levels: ["error"] });
  await keep(db, { lines: [[1, "error", "of another"]] });
  await keep(db, { name: "b", lines: [[1, "info", "less severe"], [5, "error", "older"], [9, "error", "oldest"]] });
  const [shown] = await readLastLines(db.records, { ...ANY, names: ["b"], levels: ["error"] }, {
    limit: 1,
    since: null,
  });
  watch.skip(shown!);

  assertEquals([shown!.message, ...messagesOf(await watch.next())], ["older", "oldest"]);
  assertEquals(await watch.next(), []);
});

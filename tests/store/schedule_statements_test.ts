import { assert, assertEquals } from "@std/assert";
import type postgres from "postgres";
import { tagOf } from "../../src/database/user_client.ts";
import type { NewTask } from "../../src/store/new_task.ts";
import { isProducer, scheduleTasks } from "../../src/store/schedule.ts";
import { testDatabase } from "../support/database.ts";
import { newTask } from "../support/new_task.ts";

/** The two rules of the statements that `with({ tx })` sends: the adapters and users' own wrappers rest on them. */

/** A statement as a user's client was given it, and the columns that the server answered with. */
interface Sent {
  readonly text: string;
  readonly params: unknown[];
  readonly columns: postgres.ColumnList<string>;
}

const TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const unique = { unique_key: "k", unique_among: null, unique_for: null, on_conflict: "keep" } as const;
const full: Partial<NewTask> = {
  tags: ["a", 'b"{},\\'],
  max_retries: 3,
  retry_delay: 1.5,
  backoff: { kind: "exponential", delay: 2 } as never,
  timeout: 1.5,
  priority: -7,
};

/** Tasks by what is special about them, so that each statement of the store is among those that insert them. */
const CASES: Record<string, Partial<NewTask>[]> = {
  "one": [{}],
  "one with all options": [{ ...full, traceparent: TRACE }],
  "one with a delay": [{ delay: 60 }],
  "one with a time": [{ not_before: "2050-01-01T00:00:00Z" }],
  "one with limits": [{ concurrency_key: "c", rate_key: "r" }],
  "alike": [full, full, full],
  "alike with a delay": [{ ...full, delay: 60 }, { ...full, delay: 60 }],
  "alike and traced": [{ traceparent: TRACE }, {}],
  "alike and traced with a delay": [{ traceparent: TRACE, delay: 60 }, { delay: 60 }],
  "unlike": [full, { delay: 60 }, { func_name: "test.other" }],
  "a unique one": [{ ...unique }],
  "unique ones": [{ ...unique }, { ...unique, unique_key: "l" }],
};

/** Schedules all cases, as a role that may insert and as a producer, and returns what was sent for each. */
async function sentByCase(): Promise<Map<string, Sent[]>> {
  await using db = await testDatabase();
  const sentBy = new Map<string, Sent[]>();
  for (const [name, columns] of Object.entries(CASES)) {
    for (const producer of [false, true]) {
      const sent: Sent[] = [];
      const sql = tagOf({
        async query(text, params) {
          const rows = await db.sql.unsafe(text, params as string[]);
          sent.push({ text, params, columns: rows.columns });
          return [...rows];
        },
      }, "firefly");
      await isProducer(sql);
      const scheduled = await scheduleTasks(sql, columns.map(newTask), producer);
      assertEquals([...scheduled].length, columns.length, name);
      assertEquals(sent.length, 2, name);
      sentBy.set(`${name}${producer ? ", by a producer" : ""}`, sent);
    }
  }
  return sentBy;
}

Deno.test("with({ tx }) sends statements whose parameters $1, $2, … are used once each, and in their order", async () => {
  for (const [name, sent] of await sentByCase()) {
    for (const { text, params } of sent) {
      const used = Array.from(text.matchAll(/\$(\d*)/g), ([, number]) => Number(number));
      assertEquals(used, params.map((_, i) => i + 1), `${name}: ${text}`);
      assertEquals(params.filter((value) => !["string", "number"].includes(typeof value) && value !== null), [], name);
      assert(!text.includes("?"), `${name}: "?" is a parameter to some libraries: ${text}`);
    }
  }
});

Deno.test("with({ tx }) sends statements that answer with one column, a text", async () => {
  const TEXT = 25; // the OID of the type
  for (const [name, sent] of await sentByCase()) {
    for (const { text, columns } of sent) {
      assertEquals(columns.map(({ name, type }) => [name, type]), [["text", TEXT]], `${name}: ${text}`);
    }
  }
});

import { Firefly, task, TaskExists, type TaskRecord } from "@firefly/tasks";
import assert from "node:assert/strict";
import type { Checked } from "./suite.ts";

/** Texts that a library must leave alone: placeholders of all kinds, quotes, backslashes. */
const HOSTILE = ["$1", "?", "??", ":x", "%s", 'a"b', "a'b", "a\\b\\?", "😀", "{,}", "null", "2026-01-01T00:00:00.000Z"];
const KEY = 'it\'s "$1" \\?';

export const hello = task({ name: "hello" }, (who: string, n = 1) => `hello ${who} ${n}`);
export const limited = task({ name: "limited", concurrency: { limit: 1 } }, (n: number) => n);
export const once = task({ name: "once", unique: { key: (key: string) => key } }, (key: string) => key);
export const join = task({ name: "join" }, (list: string[], last: string) => `${list.join(", ")}: ${last}`);

class Undo extends Error {}

/** What holds for the transactions of every library. */
export const CHECKS: Record<string, (checked: Checked) => Promise<void>> = {
  async "commit: row and task become visible together, and a consumer is notified"({ transaction, count }) {
    let row: TaskRecord | undefined;
    await transaction(async ({ tx, insert }) => {
      await insert("commit");
      row = await hello.with({ tx, tags: ["commit"] }).schedule("a😀'\"$1?:x\\", 2);
      assert.deepEqual(await count("commit"), [0, 0]);
    });
    assert.equal(await row!.result({ timeout: "10s" }), "hello a😀'\"$1?:x\\ 2");
    assert.deepEqual(await count("commit"), [1, 1]);
  },

  async "rollback: neither row nor task is left"({ transaction, count }) {
    const undone = async () => {
      await transaction(async ({ tx, insert }) => {
        await insert("rollback");
        await hello.with({ tx, tags: ["rollback"] }).schedule("b");
        throw new Undo();
      });
    };
    await assert.rejects(undone, Undo);
    assert.deepEqual(await count("rollback"), [0, 0]);
  },

  async "many: scheduleMany(), delayed, limited and with options"({ transaction, count }) {
    const at = new Date(Date.now() + 3_600_000);
    const rows: TaskRecord[] = [];
    let later: TaskRecord | undefined;
    await transaction(async ({ tx }) => {
      const options = { tx, tags: ["many"] };
      rows.push(...await hello.with(options).scheduleMany(Array.from({ length: 20 }, (_, i) => ["m", i])));
      rows.push(...await hello.with({ ...options, delay: "1h" }).scheduleMany([["d"], ["d"]]));
      later = await hello.with({ ...options, notBefore: at, queue: "later", priority: -7 }).schedule("l");
      const retryDelay = { kind: "exponential", delay: "2s" } as const;
      await hello.with({ ...options, maxRetries: 3, retryDelay, timeout: 1.5 }).schedule("r");
      await limited.with(options).schedule(1);
      await limited.with(options).scheduleMany([[2], [3]]);
    });
    assert.equal(rows.length, 22);
    assert.deepEqual(await count("many"), [0, 27]);
    assert.equal(await rows[19]!.result({ timeout: "10s" }), "hello m 19");
    const { notBefore, queue, priority } = await later!.refresh();
    assert.deepEqual([notBefore, queue, priority], [at, "later", -7]);
  },

  async "graph: tasks that wait for others commit with them, in few statements or many"({ transaction, count, sql }) {
    const undone = async () => {
      await transaction(async ({ tx }) => {
        const options = { tx, tags: ["no graph"] };
        await join.with(options).schedule([hello.with(options).schedule("u")], hello.with(options).schedule("v"));
        throw new Undo();
      });
    };
    await assert.rejects(undone, Undo);
    assert.deepEqual(await count("no graph"), [0, 0]);
    let row: TaskRecord | undefined;
    await transaction(async ({ tx }) => {
      const options = { tx, tags: ["graph"] };
      const leaves = ["a", "b", "c"].map((who) => hello.with(options).schedule(who));
      const middle = join.with(options).schedule(leaves, hello.with(options).schedule("d", 4));
      const early = await hello.with(options).schedule("e");
      row = await join.with({ ...options, after: [early] }).schedule([middle, early, "plain"], middle);
    });
    const whole = "hello a 1, hello b 1, hello c 1: hello d 4";
    assert.equal(await row!.result({ timeout: "10s" }), `${whole}, hello e 1, plain: ${whole}`);
    assert.deepEqual(await count("graph"), [0, 7]);
    const [edges] = await sql`SELECT count(*)::integer AS count FROM firefly.dependency`;
    assert.equal(edges!.count, 6);
  },

  async "unique: a duplicate is found, and refused if it is an error"({ transaction }) {
    await transaction(async ({ tx }) => {
      const first = await once.with({ tx, delay: "1h" }).schedule(KEY);
      const second = await once.with({ tx }).schedule(KEY);
      assert.deepEqual([second.id, second.inserted], [first.id, false]);
      const refused = async () => void await once.with({ tx, unique: { onConflict: "error" } }).schedule(KEY);
      await assert.rejects(refused, TaskExists);
    });
  },

  async "savepoint: what is rolled back to it leaves no task, and the rest commits"({ transaction, count }) {
    await transaction(async ({ tx, savepoint }) => {
      await hello.with({ tx, tags: ["outer"] }).schedule("before");
      const undone = async () => {
        await savepoint(async ({ tx }) => {
          await hello.with({ tx, tags: ["inner"] }).schedule("inner");
          throw new Undo();
        });
      };
      await assert.rejects(undone, Undo);
      await savepoint(async ({ tx }) => void await hello.with({ tx, tags: ["outer"] }).schedule("nested"));
    });
    assert.deepEqual([await count("outer"), await count("inner")], [[0, 2], [0, 0]]);
  },

  async "texts with placeholders, quotes and backslashes arrive as they are"({ transaction, sql }) {
    const rows: TaskRecord[] = [];
    await transaction(async ({ tx }) => {
      const options = { tx, tags: HOSTILE, queue: "later" };
      rows.push(await hello.with(options).schedule("h"));
      rows.push(...await hello.with(options).scheduleMany([["h"], ["h"]]));
      rows.push(await hello.with({ ...options, unique: KEY }).schedule("h"));
    });
    const ids = rows.map(({ id }) => id);
    const stored = await sql`SELECT tags FROM firefly.task WHERE id = ANY (${ids}) ORDER BY id`;
    assert.deepEqual(stored.map(({ tags }) => tags), ids.map(() => HOSTILE));
    const keys = await sql`SELECT key FROM firefly.unique_key WHERE task_id = ${ids[3]!}`;
    assert.deepEqual(keys.map(({ key }) => key), [KEY]);
  },

  async "another schema, with a placeholder in its name"({ transaction, sql }) {
    const schema = 'fire"fly ?';
    const other = new Firefly({ schema });
    await other.migrate();
    await transaction(async ({ tx }) => {
      await other.run(() => hello.with({ tx }).schedule("s"));
      await other.run(() => hello.with({ tx }).scheduleMany([["s"], ["s"]]));
      await other.run(() => hello.with({ tx, unique: KEY }).schedule("s"));
    });
    await other.close();
    const [row] = await sql`SELECT count(*)::integer AS count FROM ${sql(schema)}.task`;
    assert.equal(row!.count, 4);
  },
};

import { assert, assertEquals, assertLess, assertRejects } from "@std/assert";
import { DatabaseUnreachable, Firefly, task } from "../../mod.ts";
import { Batcher } from "../../src/schedule/batcher.ts";
import type { TestDatabase } from "../support/database.ts";
import { taskName, testInstance } from "../support/instance.ts";

/** A batcher that refuses what is negative, and the statements that it made. */
function batcher(error: (n: number) => Error = (n) => new Error(`refused: ${n}`)) {
  const statements: number[][] = [];
  const insert = async (items: number[]) => {
    statements.push(items);
    await new Promise((resolve) => setTimeout(resolve, 1));
    const refused = items.find((n) => n < 0);
    if (refused !== undefined) throw error(refused);
    return items.map((n) => n * 10);
  };
  return { statements, batcher: new Batcher({ insert, sizeOf: () => 1000 }) };
}

/** How many statements have made the records: each was a transaction of its own. */
async function statementsOf({ sql }: TestDatabase): Promise<number> {
  return (await sql`SELECT count(DISTINCT xmin::text)::int AS count FROM firefly.task`)[0]!.count;
}

Deno.test("Batcher makes one statement of the calls of a turn, and of those that come meanwhile", async () => {
  const { statements, batcher: calls } = batcher();

  const first = [calls.insert([1]), calls.insert([2, 3])];
  await Promise.resolve();
  first.push(calls.insert([4]));
  await new Promise((resolve) => setImmediate(resolve));
  const second = [calls.insert([5]), calls.insert([6])];

  assertEquals(await Promise.all(first), [[10], [20, 30], [40]]);
  assertEquals(await Promise.all(second), [[50], [60]]);
  assertEquals(statements, [[1, 2, 3, 4], [5, 6]]);
});

Deno.test("Batcher makes two statements of many calls, and sends the second before the first is answered", async () => {
  const sent: number[][] = [];
  const answers: PromiseWithResolvers<number[]>[] = [];
  const insert = (items: number[]) => {
    sent.push(items);
    answers.push(Promise.withResolvers());
    return answers.at(-1)!.promise;
  };
  const calls = new Batcher({ insert, sizeOf: () => 1 });
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  const all = [...Array(100).keys()].map((n) => calls.insert([n]));
  await turn();
  assertEquals(sent.map(({ length }) => length), [50, 50]);
  assertEquals(sent.flat(), [...Array(100).keys()]);

  // A few calls wait for the end of what is under way; many need not.
  const more = [calls.insert([100])];
  await turn();
  assertEquals(sent.length, 2);
  answers[0]!.resolve(sent[0]!);
  await all[0];
  await turn();
  assertEquals(sent.length, 2);
  more.push(...[...Array(40).keys()].map((n) => calls.insert([101 + n])));
  await turn();
  assertEquals(sent.slice(2).map(({ length }) => length), [41]);

  answers[1]!.resolve(sent[1]!);
  answers[2]!.resolve(sent[2]!);
  assertEquals((await Promise.all([...all, ...more])).flat(), [...Array(141).keys()]);
});

Deno.test("Batcher keeps statements small, and never splits a call", async () => {
  const { statements, batcher: calls } = batcher();

  await Promise.all([calls.insert(Array(600).fill(1)), calls.insert(Array(600).fill(2)), calls.insert([3])]);
  await calls.insert(Array(3000).fill(4));

  assertEquals(statements.map(({ length }) => length), [600, 601, 3000]);
});

Deno.test("Batcher rejects the call that the database refuses, and inserts the others", async () => {
  const { statements, batcher: calls } = batcher();

  const outcomes = await Promise.allSettled([...Array(100).keys()].map((n) => calls.insert(n === 37 ? [n, -n] : [n])));

  assertEquals(outcomes.flatMap(({ status }, i) => status === "rejected" ? [i] : []), [37]);
  assertEquals((outcomes[37] as PromiseRejectedResult).reason.message, "refused: -37");
  assertEquals((outcomes[99] as PromiseFulfilledResult<number[]>).value, [990]);
  assertLess(statements.length, 2 * Math.log2(100) + 2);
});

Deno.test("Batcher rejects every call in an outage, and sends nothing twice", async () => {
  const { statements, batcher: calls } = batcher(() => new DatabaseUnreachable("gone"));

  const outcomes = await Promise.allSettled([calls.insert([1]), calls.insert([-2]), calls.insert([3])]);

  assert(outcomes.every((outcome) => outcome.status === "rejected" && outcome.reason instanceof DatabaseUnreachable));
  assertEquals(statements.length, 1);
  assertEquals(await calls.insert([4]), [40]);
});

Deno.test("schedule() called by many at once sends few statements, and each gets its own record", async () => {
  await using test = await testInstance();
  const work = task(taskName(), (_n: number) => {});

  const records = await test.ff.run(() => Promise.all([...Array(500).keys()].map((n) => work.schedule(n))));

  assertEquals(records.map(({ params }) => params), [...Array(500).keys()].map((n) => [n]));
  assertEquals(records.map(({ id }) => id), records.map(({ id }) => id).toSorted((a, b) => a - b));
  assertLess(await statementsOf(test.db), 10);
});

Deno.test("schedule() called by many again and again assigns ids in the order of the calls", async () => {
  await using test = await testInstance();
  const work = task(taskName(), (_n: number) => {});
  let n = 0;

  const ids = await test.ff.run(() =>
    Promise.all(Array.from({ length: 150 }, async () => {
      const own: [call: number, id: number][] = [];
      for (let i = 0; i < 10; i++) {
        const call = n++;
        own.push([call, (await work.schedule(call)).id]);
      }
      return own;
    }))
  );

  const ordered = ids.flat().toSorted(([a], [b]) => a - b).map(([, id]) => id);
  assertEquals(ordered, ordered.toSorted((a, b) => a - b));
  const [row] = await test.db.sql`
    SELECT count(*)::int AS late FROM (SELECT not_before < lag(not_before) OVER (ORDER BY id) AS late FROM firefly.task) AS t WHERE late
  `;
  assertEquals(row!.late, 0);
});

Deno.test("schedule() that the database refuses fails no other call of the same tick", async () => {
  await using test = await testInstance();
  const work = task(taskName(), (_n: number) => {});
  await test.db.sql`ALTER TABLE firefly.task ADD CONSTRAINT no_thirteen CHECK (priority <> 13)`;

  const outcomes = await test.ff.run(() =>
    Promise.allSettled([
      ...[...Array(30).keys()].map((n) => work.with({ priority: n }).schedule(n)),
      work.with({ priority: 13 }).scheduleMany([[100], [101]]),
      work.scheduleMany([[200], [201]]),
    ])
  );

  const refused = outcomes.flatMap((outcome, i) => outcome.status === "rejected" ? [[i, outcome.reason.code]] : []);
  assertEquals(refused, [[13, "23514"], [30, "23514"]]);
  const [row] = await test.db.sql`SELECT count(*)::int AS count FROM firefly.task`;
  assertEquals(row!.count, 29 + 2);
});

Deno.test("schedule() without a database rejects for every caller", async () => {
  await using ff = new Firefly({ database: "postgres://nobody@127.0.0.1:1/none" });
  const work = task(taskName(), (_n: number) => {});

  await ff.run(() => Promise.all([1, 2, 3].map((n) => assertRejects(() => work.schedule(n), DatabaseUnreachable))));
});

import { assert, assertEquals, assertInstanceOf, assertRejects, assertThrows } from "@std/assert";
import { current, DependencyFailed, settled, task, TaskFailed, type TaskRecord, transaction } from "../../mod.ts";
import type { TestDatabase } from "../support/database.ts";
import { OLD } from "../support/encryption.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { deadline } from "../support/waiting.ts";

/** Tasks of a small graph: each is the plain function that it was. */
function shop() {
  const fetchPage = task(taskName(), (url: string) => `<${url}>`);
  const parse = task(taskName(), (html: string) => ({ html, links: new Map([[html, 1n]]) }));
  const merge = task(
    taskName(),
    (parts: { html: string }[], title: string) => `${title}: ${parts.map(({ html }) => html).join(" ")}`,
  );
  return { fetchPage, parse, merge };
}

/** How many tasks there are, and how many transactions inserted them. */
async function insertsOf(db: TestDatabase): Promise<{ tasks: number; edges: number; transactions: number }> {
  const [row] = await db.sql`
    SELECT count(*)::int AS tasks, (SELECT count(*)::int FROM firefly.dependency) AS edges,
      count(DISTINCT xmin::text)::int AS transactions
    FROM firefly.task
  `;
  return { ...row } as never;
}

Deno.test("schedule() takes tasks as arguments: chain, fan-in and diamond run as the plain calls would", async () => {
  await using test = await testInstance();
  const { fetchPage, parse, merge } = shop();
  const both = task(taskName(), (a: string, b: string, same: boolean) => [a, b, same]);

  const [report, diamond] = await test.ff.run(() => {
    const raw = fetchPage.schedule("d");
    return Promise.all([
      merge.schedule(["a", "b", "c"].map((url) => parse.schedule(fetchPage.schedule(url))), "report"),
      both.schedule(fetchPage.schedule(raw), fetchPage.schedule(raw), true),
    ]);
  });
  assertEquals([report.state, report.dependencies, diamond.dependencies], ["dependent", 3, 2]);
  assertEquals(String((report.params as unknown[][])[0]![2]), "[object Result]");
  assertEquals(
    JSON.stringify(report.toJSON().params),
    '[[{"$":"Result","v":0},{"$":"Result","v":1},{"$":"Result","v":2}],"report"]',
  );
  // Every call of the turn went out with one statement.
  assertEquals(await insertsOf(test.db), { tasks: 11, edges: 10, transactions: 1 });

  assertEquals((await test.drain()).completed, 11);
  assertEquals((await report.refresh()).returned, "report: <a> <b> <c>");
  assertEquals((await diamond.refresh()).returned, ["<<d>>", "<<d>>", true]);
  assertEquals(
    await report.result(),
    merge([...["a", "b", "c"].map((url) => ({ html: fetchPage(url) as string }))], "report"),
  );
});

Deno.test("schedule() takes lists of scheduleMany(), records of earlier turns, and several levels of lists", async () => {
  await using test = await testInstance();
  const { fetchPage, parse, merge } = shop();
  const flat = task(taskName(), (lists: string[][]) => lists.flat().join(" "));

  const records = await test.ff.run(async () => {
    const early = await parse.schedule("early");
    const many = await fetchPage.scheduleMany([["x"], ["y"]]);
    return await Promise.all([
      merge.schedule(parse.scheduleMany([["a"], [fetchPage.schedule("b")]]), "many"),
      merge.schedule([early, { html: "plain" }, parse.schedule("now")], "mixed"),
      merge.schedule(await parse.scheduleMany([["r"]]), "records"),
      // The compiler knows the first two levels alone.
      flat.schedule([fetchPage.scheduleMany([["1"], ["2"]]), ["3"], many] as never),
      merge.schedule([], "none"),
    ]);
  });
  await test.drain();

  assertEquals(await Promise.all(records.map((record) => record.result())), [
    "many: a <b>",
    "mixed: early plain now",
    "records: r",
    "<1> <2> 3 <x> <y>",
    "none: ",
  ]);
});

Deno.test("schedule() gives a result that stands twice to the handler once, and one of its own to each dependant", async () => {
  await using test = await testInstance();
  const make = task(taskName(), () => ({ n: 1 }));
  const take = task(taskName(), (a: { n: number }, b: { n: number }[]) => {
    a.n++;
    return [a === b[0], a.n];
  });

  const [one, two] = await test.ff.run(() => {
    const made = make.schedule();
    return Promise.all([take.schedule(made, [made]), take.schedule(made, [made])]);
  });
  await test.drain();

  assertEquals([one.dependencies, await one.result(), await two.result()], [1, [true, 2], [true, 2]]);
});

Deno.test("schedule() takes the records of a large scheduleMany(), in whatever order they are by then", async () => {
  await using test = await testInstance();
  const same = task(taskName(), (n: number) => n);
  const ends = task(taskName(), (list: number[]) => [list.length, list[0], list.at(-1)]);

  const record = await test.ff.run(async () => {
    const records = await same.scheduleMany(Array.from({ length: 1200 }, (_, i) => [i]));
    records.reverse();
    return await ends.schedule(records);
  });
  await test.drain();

  assertEquals(await record.result(), [1200, 1199, 0]);
});

Deno.test("scheduleMany() schedules dependants, each with dependencies of its own", async () => {
  await using test = await testInstance();
  const { fetchPage, parse } = shop();

  const records = await test.ff.run(() => parse.scheduleMany(["a", "b"].map((url) => [fetchPage.schedule(url)])));
  assertEquals(await insertsOf(test.db), { tasks: 4, edges: 2, transactions: 1 });
  await test.drain();

  const results = await Promise.all(records.map((record) => record.result()));
  assertEquals(results.map(({ html }) => html), ["<a>", "<b>"]);
});

Deno.test("schedule() in transaction() commits a graph whole, or none of it", async () => {
  await using test = await testInstance();
  const { fetchPage, parse, merge } = shop();
  const graph = () => merge.schedule(["a", "b"].map((url) => parse.schedule(fetchPage.schedule(url))), "all");

  await test.ff.run(async () => {
    await assertRejects(() =>
      transaction(async () => {
        await graph();
        throw new RangeError("undone");
      }), RangeError);
    assertEquals(await insertsOf(test.db), { tasks: 0, edges: 0, transactions: 0 });

    const record = await transaction(async (sql) => {
      const record = await graph();
      assertEquals((await sql`SELECT FROM firefly.dependency`).length, 4);
      // A savepoint that is undone takes its part of the graph along.
      await assertRejects(() =>
        transaction(async () => {
          await parse.schedule(fetchPage.schedule("nested"));
          throw new RangeError("undone");
        }), RangeError);
      return record;
    });
    assertEquals((await insertsOf(test.db)).tasks, 5);
    await test.drain();
    assertEquals(await record.result(), "all: <a> <b>");
  });
});

Deno.test("schedule() within a handler commits a graph with the task, and an attempt that fails leaves none of it", async () => {
  await using test = await testInstance();
  const { fetchPage, merge, parse } = shop();
  const start = task({ name: taskName(), maxRetries: 1, retryDelay: 0 }, async () => {
    const { id } = await merge.schedule([parse.schedule(fetchPage.schedule("h"))], "handler");
    if (current().attempt === 1) throw new Error("once more");
    return id;
  });

  const record = await test.ff.run(() => start.schedule());
  await test.drain();

  assertEquals((await test.db.sql`SELECT FROM firefly.task`).length, 4);
  const id = await record.result();
  assertEquals((await test.ff.tasks.get(id)).returned, "handler: <h>");
});

Deno.test("schedule() takes the arguments of a schema as they will be, and the handler gets them checked", async () => {
  await using test = await testInstance();
  const { z } = await import("zod");
  const count = task(taskName(), (n: number) => n);
  const use = task(
    { name: taskName(), input: z.tuple([z.number().max(5).transform(String), z.string()]) },
    (n, s) => n + s,
  );

  await test.ff.run(async () => {
    const [good, bad] = await Promise.all([use.schedule(count.schedule(3), "!"), use.schedule(count.schedule(9), "!")]);
    await assertRejects(async () => void await use.schedule(9, "!"), Error, "are not valid");
    await test.drain();
    assertEquals(await good.result(), "3!");
    const failed = await bad.refresh();
    assertEquals([failed.status, failed.error!.name], ["failed", "ValidationFailed"]);
  });
});

Deno.test("schedule() waits for dependencies whose arguments are still checked, and shares their statement", async () => {
  await using test = await testInstance();
  const { z } = await import("zod");
  const input = z.tuple([z.number().refine(async (n) => await Promise.resolve(n < 9))]);
  const add = task({ name: taskName(), input }, (n) => n + 1);
  const plain = task(taskName(), (n: number) => n * 10);

  const [one, two] = await test.ff.run(() =>
    Promise.all([plain.schedule(add.schedule(plain.schedule(add.schedule(0)))), plain.schedule(add.schedule(4))])
  );
  assert((await insertsOf(test.db)).transactions <= 2);
  await test.drain();

  assertEquals([(await one.refresh()).status, (await two.refresh()).returned], ["cancelled", 50]);
  const statuses = await test.ff.run(async () => (await add.list()).items.map(({ status }) => status));
  assertEquals(statuses.sort(), ["completed", "completed", "failed"]);
});

Deno.test("schedule() in transaction() gives each call the error of the statement that it shared", async () => {
  await using test = await testInstance();
  const make = task(taskName(), () => 1);
  const take = task(taskName(), (n: number) => n);
  await test.db.sql`ALTER TABLE firefly.task ADD CONSTRAINT refused CHECK (queue <> 'broken')`;

  await test.ff.run(async () => {
    const codes: string[] = [];
    await assertRejects(() =>
      transaction(async () => {
        const made = await make.schedule();
        const calls = ["default", "broken", "default"].map((queue) => take.with({ queue }).schedule(made));
        for (const call of await Promise.allSettled(calls)) {
          codes.push(call.status === "rejected" ? call.reason.code : call.status);
        }
      })
    );
    assertEquals(codes, ["23514", "23514", "23514"]);
  });
});

Deno.test("after waits for tasks without their results: records, promises, ids, lists, and a list that is read once", async () => {
  await using test = await testInstance();
  const ran: string[] = [];
  const step = task(taskName(), (name: string) => void ran.push(name));

  await test.ff.run(async () => {
    const [one, three] = [await step.schedule("one"), step.schedule("three")];
    const two = await step.schedule("two");
    function* list() {
      yield* [one, two.id, three, step.scheduleMany([["four"], ["five"]])];
    }
    const last = step.with({ after: list(), priority: 9 });
    const [a, b] = await Promise.all([last.schedule("last"), last.schedule("last")]);
    assertEquals([a.dependencies, b.dependencies, a.params], [5, 5, ["last"]]);
    await test.drain({ concurrency: 1 });
  });

  assertEquals(ran.slice(0, 5).sort(), ["five", "four", "one", "three", "two"]);
  assertEquals(ran.slice(5), ["last", "last"]);
});

Deno.test("settled() gives the outcome of a task, whichever way it ended", async () => {
  await using test = await testInstance();
  const work = task(taskName(), (n: number) => {
    if (n < 0) throw new RangeError(`${n} is negative`);
    return n;
  });
  const outcome = task(
    taskName(),
    (end: PromiseSettledResult<number>) => end.status === "fulfilled" ? end.value : end.reason,
  );
  const outcomes = task(taskName(), (ends: PromiseSettledResult<number>[]) => ends.map(({ status }) => status));

  await test.ff.run(async () => {
    const cancelled = await work.with({ delay: "1h" }).schedule(3);
    const deleted = await work.with({ delay: "1h" }).schedule(4);
    // Why it failed before it was cancelled is not how it ended.
    const retried = await work.with({ maxRetries: 1, retryDelay: "1h" }).schedule(-5);
    await test.drain();
    await retried.cancel();
    const records = [
      await outcome.schedule(settled(work.schedule(1))),
      await outcome.schedule(settled(work.schedule(-1))),
      await outcome.schedule(settled(cancelled)),
      await outcome.schedule(settled(work.schedule(cancelled))),
      await outcome.schedule(settled(deleted)),
      await outcome.schedule(settled(retried)),
    ];
    const list = await outcomes.schedule(settled(work.scheduleMany([[1], [-2]])));
    await cancelled.cancel();
    await deleted.delete();
    await test.drain();

    const [value, ...reasons] = await Promise.all(records.map((record) => record.result()));
    assertEquals(value, 1);
    assertEquals(reasons.map(({ name, message }) => `${name}: ${message}`), [
      "RangeError: -1 is negative",
      `TaskCancelled: Task ${cancelled.id} "${work.funcName}" was cancelled`,
      `DependencyFailed: Cannot run this task as task ${cancelled.id} "${work.funcName}", which it depends on, was cancelled`,
      `TaskNotFound: Cannot find task ${deleted.id}`,
      `TaskCancelled: Task ${retried.id} "${work.funcName}" was cancelled`,
    ]);
    assert(reasons.every(({ at }) => at instanceof Date));
    assertEquals(await list.result(), ["fulfilled", "rejected"]);
  });
});

Deno.test("result() of a task whose dependency failed names that one and the root, and retry() of the root revives it", async () => {
  await using test = await testInstance();
  let isBroken = true;
  const root = task(taskName(), () => {
    if (isBroken) throw new Error("no disk");
    return 1;
  });
  const next = task(taskName(), (n: number) => n + 1);

  await test.ff.run(async () => {
    const [first, middle, last] = await test.ff.transaction(async () => {
      const first = await root.schedule();
      const middle = await next.schedule(first);
      return [first, middle, await next.schedule(middle)] as const;
    });
    await test.drain();

    const failure = await assertRejects(() => last.result(), TaskFailed);
    const { cause } = failure;
    assertInstanceOf(cause, DependencyFailed);
    assertEquals([cause.dependency, cause.root], [middle.id, first.id]);
    assertEquals(failure.task.status, "cancelled");
    const message = "as it depends on a task that did not complete";
    await assertRejects(() => last.retry(), Error, message);

    isBroken = false;
    await first.retry();
    assertEquals((await last.refresh()).state, "dependent");
    await test.drain();
    assertEquals(await last.result(), 3);
  });
});

Deno.test("the handler is not called when the record of a result was deleted, and the task fails at once", async () => {
  await using test = await testInstance();
  const make = task(taskName(), () => 1);
  const take = task({ name: taskName(), maxRetries: 3 }, (n: number) => n);

  await test.ff.run(async () => {
    const made = await make.schedule();
    await test.drain();
    const taken = await take.with({ delay: "1h" }).schedule(made);
    // As a hand may leave it: the engine would cancel the dependant.
    await test.db.sql.begin(async (sql) => {
      await sql`SET LOCAL session_replication_role = replica`;
      await sql`DELETE FROM firefly.task WHERE id = ${made.id}`;
    });
    await taken.run();
    await test.drain();

    const { status, error, retryAttempts } = await taken.refresh();
    assertEquals([status, error!.name, retryAttempts], ["failed", "DependencyFailed", 0]);
    assertEquals(
      error!.message,
      `Cannot run task ${taken.id} as its argument is the result of task ${made.id}, which was deleted`,
    );
  });
});

Deno.test("deleting a dependency cancels what waits for it", async () => {
  await using test = await testInstance();
  const make = task(taskName(), () => 1);
  const take = task(taskName(), (n: number) => n);

  await test.ff.run(async () => {
    const made = await make.with({ delay: "1h" }).schedule();
    const taken = await take.schedule(made);
    await made.delete();
    await test.drain();
    const failure = await assertRejects(() => taken.result(), TaskFailed, "was deleted");
    assertEquals((failure.cause as DependencyFailed).root, made.id);
  });
});

Deno.test("results of encrypted tasks are read with the keys, and are encrypted in the database", async () => {
  await using test = await testInstance({ encryption: OLD });
  const make = task(taskName(), (secret: string) => ({ secret }));
  const take = task(taskName(), (made: { secret: string }, own: string) => `${made.secret} ${own}`);

  await test.ff.run(async () => {
    const record = await take.schedule(make.schedule("4711"), "0815");
    assertEquals(record.params[1], "0815");
    const rows = await test.db.sql`SELECT firefly.decode(params) ->> '$' AS tag FROM firefly.task`;
    assertEquals(rows.map(({ tag }) => tag), ["Encrypted", "Encrypted"]);
    await test.drain();
    assertEquals(await record.result(), "4711 0815");
  });
});

Deno.test("a result that cannot be decoded fails the attempt and is named", async () => {
  await using test = await testInstance();
  const make = task(taskName(), () => 1);
  const take = task(taskName(), (n: number) => n);

  await test.ff.run(async () => {
    const made = await make.schedule();
    await test.drain();
    const taken = await take.schedule(made);
    await test.db.sql`UPDATE firefly.task SET returned = '!' WHERE id = ${made.id}`;
    await test.drain();
    const { error } = await taken.refresh();
    assertEquals(error!.name, "FireflyFormatError");
    assert(error!.message.startsWith(`Cannot decode the result of task ${made.id} "${make.funcName}"`), error!.message);
  });
});

Deno.test("a dependency with a unique key is its duplicate, and a dependant that is a duplicate keeps its dependencies", async () => {
  await using test = await testInstance();
  const make = task({ name: taskName(), unique: { key: (n: number) => String(n) } }, (n: number) => n);
  const take = task(taskName(), (a: number) => a);

  await test.ff.run(async () => {
    const made = await make.schedule(1);
    const [a, b] = await Promise.all([
      take.schedule(make.schedule(1)),
      take.with({ unique: "k" }).schedule(make.schedule(1)),
    ]);
    const duplicate = await take.with({ unique: "k" }).schedule(make.schedule(2));
    assertEquals([duplicate.id, duplicate.inserted, duplicate.dependencies], [b.id, false, 1]);
    assertEquals((await a.graph()).map(({ id }) => id), [made.id, a.id, b.id].sort((one, other) => one - other));
    await test.drain();
    assertEquals([await a.result(), await b.result()], [1, 1]);
  });
});

Deno.test("schedule() refuses keys that are computed of results, and results that are no argument and no element of a list", async () => {
  await using test = await testInstance();
  const make = task(taskName(), () => 7);
  const unique = task({ name: taskName(), unique: true }, (n: number) => n);
  const keyed = task(
    { name: taskName(), unique: { key: (n: number, s: string) => `${n} ${s}` } },
    (n: number, _s: string) => n,
  );
  const limited = task(
    { name: taskName(), concurrency: { limit: 1, key: (n: number) => String(n) } },
    (n: number) => n,
  );
  const other = task(
    { name: taskName(), concurrency: { limit: 1, key: (_n: number[], s: string) => s } },
    (n: number[], _s: string) => n,
  );
  const nested = task(taskName(), (_: { n: unknown }) => {});

  await test.ff.run(async () => {
    const made = await make.schedule();
    const refused = (run: () => PromiseLike<unknown>, words: string) =>
      assertRejects(async () => void await run(), TypeError, words);
    await refused(() => unique.schedule(made), 'and one is the result of another task: set "unique.key"');
    await refused(
      () => keyed.schedule(made, "x"),
      "a key is computed of an argument that is the result of another task",
    );
    await refused(() => limited.schedule(make.schedule()), "a key is computed of an argument that is the result");
    await refused(() => nested.schedule({ n: made }), "with the result of a task at $[0].n: it must be an argument");
    await refused(() => nested.schedule({ n: new Map([[1, make.schedule()]]) }), "at $[0].n[0]");
    await assertRejects(
      async () => void await nested.schedule({ n: Promise.resolve(1) }),
      DOMException,
      "#<Promise> could not be cloned (at $[0].n)",
    );
    assertEquals((await other.schedule([make.schedule()], "key")).dependencies, 1);
    assertThrows(() => make.with({ after: [{} as never] }), TypeError, '"after" must be a list of tasks');
    assertThrows(() => make.with({ after: 5 as never }), TypeError, '"after" must be a list of tasks');
    assertThrows(() => settled({} as never), TypeError, "this is no record");
  });
});

Deno.test("schedule() rejects if a dependency was not scheduled, says why, and rejects nothing else", async () => {
  await using test = await testInstance();
  const make = task(taskName(), (_: unknown) => 7);
  const take = task(taskName(), (n: unknown) => n);

  await test.ff.run(async () => {
    const refused = `Cannot schedule task "${take.funcName}" as a task that it depends on was not scheduled: `;
    const beside = make.schedule("beside");
    await assertRejects(async () => void await take.schedule(make.schedule(() => {})), Error, `${refused}function`);
    // The database refuses it, with others in the same statement.
    await test.db.sql`ALTER TABLE firefly.task ADD CONSTRAINT refused CHECK (queue <> 'broken')`;
    const [first, second, third] = await Promise.allSettled([
      take.schedule(make.with({ queue: "broken" }).schedule(1)),
      take.schedule(make.schedule(2)),
      take.with({ after: [987654] }).schedule(3),
    ]);
    assertEquals([first.status, second.status, third.status], ["rejected", "fulfilled", "rejected"]);
    assert(String((first as PromiseRejectedResult).reason).includes(refused));
    assertEquals((third as PromiseRejectedResult).reason.code, "23503");
    await beside;
  });
});

Deno.test("schedule() of 2,000 tasks with 3,800 dependencies takes a statement for each 1,000 or fewer", async () => {
  await using test = await testInstance();
  const leaf = task(taskName(), (n: number) => n);
  const add = task(taskName(), (a: number, b: number) => (a + b) % 1000);
  const graph = () => {
    let row: ReturnType<typeof leaf.schedule>[] = Array.from({ length: 100 }, (_, i) => leaf.schedule(i));
    const all: PromiseLike<TaskRecord>[] = [...row];
    for (let i = 1; i < 20; i++) {
      all.push(...row = row.map((left, at) => add.schedule(left, row[(at + 1) % 100]!) as never));
    }
    return Promise.all(all);
  };

  const records = await test.ff.run(graph);
  const { transactions, ...counts } = await insertsOf(test.db);
  assertEquals(counts, { tasks: 2000, edges: 3800 });
  assert(transactions <= 8, `${transactions} transactions`);
  // Each depends on what it was given, in that order.
  const [row] = await test.db.sql`SELECT dependencies FROM firefly.graph(${records[150]!.id}) WHERE id = ${
    records[150]!.id
  }`;
  assertEquals(row!.dependencies.map(Number), [records[50]!.id, records[51]!.id]);

  await test.ff.transaction(graph);
  assertEquals((await insertsOf(test.db)).edges, 7600);
});

Deno.test("tasks.graph() and cancelGraph() take all that hangs together, and nothing else", async () => {
  await using test = await testInstance();
  const { fetchPage, parse, merge } = shop();

  await test.ff.run(async () => {
    const page = fetchPage.schedule("a");
    const [one, two] = [parse.schedule(page), parse.schedule(page)];
    const top = await merge.schedule([one, two], "top");
    const other = await parse.schedule(fetchPage.schedule("b"));
    const ids = [(await page).id, (await one).id, (await two).id, top.id];

    const nodes = await test.ff.tasks.graph(ids[1]!);
    assertEquals(nodes.map(({ id, status, dependencies }) => ({ id, status, dependencies })), [
      { id: ids[0]!, status: "created", dependencies: [] },
      { id: ids[1]!, status: "created", dependencies: [ids[0]!] },
      { id: ids[2]!, status: "created", dependencies: [ids[0]!] },
      { id: ids[3]!, status: "created", dependencies: [ids[1]!, ids[2]!] },
    ]);
    assertEquals(nodes[3]!.funcName, merge.funcName);
    assertEquals(await top.graph(), nodes);

    const cancelled = await test.ff.tasks.cancelGraph(top.id);
    assert(cancelled >= 1 && cancelled <= 4);
    await test.drain();
    assertEquals((await test.ff.tasks.graph(top.id)).map(({ status }) => status), Array(4).fill("cancelled"));
    assertEquals((await other.result()).html, "<b>");
    await assertRejects(() => test.ff.tasks.graph(987654), Error, "Cannot find task 987654");
    await assertRejects(() => test.ff.tasks.cancelGraph(987654), Error, "Cannot find task 987654");
  });
});

Deno.test("a chain of 30 links runs through, each with the result of the one before", async () => {
  await using test = await testInstance();
  const add = task(taskName(), (n: number) => n + 1);
  await using consumer = test.ff.consume({ tasks: [add] });
  await consumer.ready;

  const result = await deadline(
    test.ff.run(() => {
      let link = add.schedule(0);
      for (let i = 1; i < 30; i++) link = add.schedule(link);
      return link.result();
    }),
    () => "the chain does not end",
  );

  assertEquals(result, 30);
});

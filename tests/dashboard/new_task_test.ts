import { assertEquals, assertMatch, assertNotMatch, assertStringIncludes } from "@std/assert";
import { Firefly, task } from "../../mod.ts";
import { registry } from "../../src/task/scope.ts";
import { dashboard } from "../../dashboard.ts";
import { type TestDashboard, testDashboard } from "../support/dashboard.ts";
import { keyOf, OLD } from "../support/encryption.ts";
import { type HtmlPage, pageOf } from "../support/html.ts";
import { taskName } from "../support/instance.ts";
import { countTasks, recordOf } from "../support/records.ts";

/** The fields of the form as a browser would send them. */
function fieldsOf(page: HtmlPage): Record<string, string> {
  const names = page.attributes("main input[name]", "name");
  const values = page.attributes("main input[name]", "value");
  const inputs = names.map((name, index) => [name!, values[index] ?? ""]);
  const texts = Array.from(
    page.source.matchAll(/<textarea [^>]*name="(\w+)"[^>]*>([^]*?)<\/textarea>/g),
    ([, name, text]) => {
      return [name!, readText(text!)];
    },
  );
  return Object.fromEntries([...inputs, ...texts]);
}

/** The text of a `<textarea>`: the parser of the pages leaves its entities and its first line break as they are. */
function readText(source: string): string {
  const entities: Record<string, string> = { lt: "<", gt: ">", quot: '"', "#39": "'", amp: "&" };
  return source.replace(/^\n/, "").replace(/&(lt|gt|quot|#39|amp);/g, (_, name) => entities[name]!);
}

/** Posts the form, and returns the id of the task that its answer leads to. */
async function schedule(board: TestDashboard, fields: Record<string, string>): Promise<number> {
  const response = await board.post("/new", fields);
  const text = await response.text();
  assertEquals(response.status, 303, text.match(/<span class="small bad"[^>]*>[^<]*/g)?.join());
  const [, id] = /^\/tasks\/(\d+)\?scheduled=(?:new|kept)$/.exec(response.headers.get("location")!) ?? [];
  return Number(id);
}

async function refuse(board: TestDashboard, fields: Record<string, string>): Promise<HtmlPage> {
  const page = await pageOf(await board.post("/new", fields));
  assertEquals(page.status, 422);
  return page;
}

/** Defines a name that another process has, as its consumer stored it. */
async function defineElsewhere(
  { test: { db } }: TestDashboard,
  name: string,
  columns: Record<string, unknown> = {},
): Promise<void> {
  await db.sql`INSERT INTO firefly.definition ${db.sql({ func_name: name, ...columns })}`;
}

Deno.test("the form schedules a task that consumers elsewhere define, by JSON and with its options", async () => {
  await using board = await testDashboard();
  const name = taskName();
  await defineElsewhere(board, name, { queue: "mail" });
  const form = await pageOf(await board.get(`/new?name=${name}`));
  assertMatch(form.text("#n-name")!, /No live consumer knows it/);
  assertEquals(form.attributes("#f-queue", "placeholder"), ["mail"]);

  const id = await schedule(board, { ...fieldsOf(form), params: '[4711, {"locale": "pl-PL"}]' });
  const record = await board.test.ff.tasks.get(id);
  assertEquals([record.funcName, record.queue, record.params, record.priority], [name, "mail", [4711, {
    locale: "pl-PL",
  }], 0]);
  // What is not said is left to the definition of the consumer that runs it.
  const { max_retries, retry_delay, timeout } = await recordOf(board.test.db, id);
  assertEquals([max_retries, retry_delay, timeout], [null, null, null]);

  const later = await schedule(board, {
    name,
    params: "[]",
    queue: "slow",
    notBefore: "2099-12-24 18:30",
    priority: "-3",
    unique: "k",
  });
  const placed = await recordOf(board.test.db, later);
  assertEquals([placed.queue, placed.priority, placed.not_before], ["slow", -3, new Date("2099-12-24T18:30:00Z")]);
  const again = await board.post("/new", { name, params: "[1]", unique: "k" });
  assertEquals(again.headers.get("location"), `/tasks/${later}?scheduled=kept`);
  const kept = await pageOf(await board.get(again.headers.get("location")!));
  assertMatch(kept.text("main [role=status]")!, /Nothing was scheduled/);
});

Deno.test("the form says what is wrong beside each field, keeps what was typed, and schedules nothing", async () => {
  await using board = await testDashboard();
  const name = taskName();
  await defineElsewhere(board, name);
  const typed = {
    name: name + "x",
    params: '[1, </textarea><script>"',
    queue: "Not A Queue",
    notBefore: "tomorrow",
    priority: "much",
    unique: "x".repeat(1001),
  };
  const page = await refuse(board, typed);

  assertMatch(page.text("#n-name")!, new RegExp(`No consumer has ever known “${name}x”, did you mean "${name}"`));
  assertMatch(page.text("#n-params")!, /not valid JSON/);
  assertMatch(page.text("#n-queue")!, /a queue's name must be lower-case letters/);
  assertMatch(page.text("#n-notBefore")!, /Write now, 10m/);
  assertMatch(page.text("#n-priority")!, /is an integer/);
  assertMatch(page.text("#n-unique")!, /1 to 1000 bytes/);
  const { from: _, ...shown } = fieldsOf(page);
  assertEquals(shown, typed);
  assertEquals(page.count("main [aria-invalid=true]"), 6);
  assertEquals(page.count("main script"), 0);
  assertMatch((await refuse(board, { name, params: '{"a": 1}' })).text("#n-params")!, /Write a list in JSON/);
  assertMatch((await refuse(board, { name: "", params: "[]" })).text("#n-name")!, /Name a task/);
  assertEquals(await countTasks(board.test.db), 0);
});

Deno.test("the form schedules a task that this process defines as schedule() does", async () => {
  await using board = await testDashboard();
  const name = taskName();
  task({ name, queue: "prints", concurrency: { limit: 1, key: (to: string) => to }, maxRetries: 4 }, (_: string) => {});
  await defineElsewhere(board, name, { queue: "prints", concurrency_limit: 1 });

  const record = await recordOf(board.test.db, await schedule(board, { name, params: '["ana"]' }));
  assertEquals([record.queue, record.concurrency_key, record.max_retries], ["prints", `${name}:ana`, 4]);

  const fields = fieldsOf(await pageOf(await board.get(`/new?from=${record.id}`)));
  const keyOfCopy = async (params: string) =>
    (await recordOf(board.test.db, await schedule(board, { ...fields, params }))).concurrency_key;
  assertEquals(await keyOfCopy('["bob"]'), `${name}:bob`);

  registry.delete(name);
  assertEquals(await keyOfCopy('["cyd"]'), `${name}:ana`);
  const page = await refuse(board, { name, params: '["ana"]' });
  assertMatch(page.text("#n-name")!, /limits count by keys that its code computes.*duplicate a task of this name/);
});

Deno.test("a duplicate has the same arguments, also those that JSON does not have, and the same options", async () => {
  await using board = await testDashboard();
  const { ff, db } = board.test;
  const name = taskName();
  const logs = task(
    { name, maxRetries: 7, timeout: "30s", rateLimit: { limit: 5, per: "1m" } },
    (..._: unknown[]) => {},
  );
  const when = new Date("2026-11-29T14:21:00Z");
  const first = await ff.run(() =>
    logs.with({ tags: ["a", "b"], priority: 3, queue: "mail" }).schedule({ when, big: 12n }, "text")
  );
  await defineElsewhere(board, name, { rate_limit: 5, rate_per: 60 });
  registry.delete(name);
  const form = await pageOf(await board.get(`/new?from=${first.id}`));

  assertMatch(form.text("main")!, /JSON does not have Date at 0\.when, bigint at 0\.big/);
  const id = await schedule(board, fieldsOf(form));
  const [{ id: _1, created: _2, not_before: _3, ...before }, { id: _4, created: _5, not_before: _6, ...after }] =
    await Promise.all(
      [first.id, id].map((id) => recordOf(db, id)),
    ) as [Record<string, unknown>, Record<string, unknown>];
  assertEquals(after, before);
  assertEquals((await ff.tasks.get(id)).params, [{ when, big: 12n }, "text"]);

  const edited = await schedule(board, {
    ...fieldsOf(form),
    params: '[{"when": "now"}, "other"]',
    queue: "slow",
    priority: "9",
  });
  const record = await ff.tasks.get(edited);
  assertEquals([record.params, record.queue, record.priority, record.tags], [[{ when: "now" }, "other"], "slow", 9, [
    "a",
    "b",
  ]]);
  assertEquals((await recordOf(db, edited)).rate_key, name);
});

Deno.test("a duplicate keeps what is hidden, and refuses to store what hides it", async () => {
  await using board = await testDashboard();
  const { ff } = board.test;
  const name = taskName();
  const signs = task({ name }, (_: unknown) => {});
  const first = await ff.run(() => signs.schedule({ user: "ana", password: "hunter2" }));
  await defineElsewhere(board, name);
  const form = await pageOf(await board.get(`/new?from=${first.id}`));

  assertNotMatch(form.source, /hunter2/);
  const fields = fieldsOf(form);
  assertStringIncludes(fields.params!, "[redacted]");
  // Browsers send the line breaks of a text as CRLF.
  const copied = await schedule(board, { ...fields, params: fields.params!.replaceAll("\n", "\r\n") });
  assertEquals((await ff.tasks.get(copied)).params, [{ user: "ana", password: "hunter2" }]);

  const page = await refuse(board, { ...fields, params: fields.params!.replace("ana", "bob") });
  assertMatch(page.text("#n-params")!, /Write a value in place of "\[redacted\]"/);
  assertStringIncludes(fieldsOf(page).params!, "bob");
  const other = taskName();
  await defineElsewhere(board, other);
  assertEquals((await refuse(board, { ...fields, name: other })).count("#f-params[aria-invalid=true]"), 1);
  const renamed = await schedule(board, { ...fields, params: '[{"user":"bob","password":"x"}]' });
  assertEquals((await ff.tasks.get(renamed)).params, [{ user: "bob", password: "x" }]);
});

Deno.test("a duplicate of encrypted arguments is encrypted, and without the key it is copied within its queue", async () => {
  await using board = await testDashboard({}, { encryption: OLD });
  const { ff, db } = board.test;
  const name = taskName();
  const keeps = task({ name }, (_: string) => {});
  const first = await ff.run(() => keeps.schedule("secret"));
  await defineElsewhere(board, name);
  const fields = fieldsOf(await pageOf(await board.get(`/new?from=${first.id}`)));

  for (const changes of [{}, { queue: "other" }, { params: '["secret"]' }]) {
    const id = await schedule(board, { ...fields, ...changes });
    assertEquals((await ff.tasks.get(id)).params, ["secret"]);
    assertStringIncludes(atob((await recordOf(db, id)).params as string), '"$":"Encrypted"');
  }
  await using blind = new Firefly({ database: db.url, encryption: { keys: { new: keyOf(2) }, current: "new" } });
  const other = dashboard({ firefly: blind, open: true });
  const asBlind: TestDashboard = {
    ...board,
    get: (path) => other.fetch(new Request(`http://localhost${path}`)),
    post: (path, fields = {}) =>
      other.fetch(
        new Request(`http://localhost${path}`, {
          method: "POST",
          body: new URLSearchParams(fields),
          headers: { "sec-fetch-site": "same-origin" },
        }),
      ),
  };
  const form = await pageOf(await asBlind.get(`/new?from=${first.id}`));
  assertMatch(form.text("main")!, /They cannot be shown: .*They are copied as they are/);
  const copied = await schedule(asBlind, fieldsOf(form));
  assertEquals((await ff.tasks.get(copied)).params, ["secret"]);
  assertMatch(
    (await refuse(asBlind, { ...fieldsOf(form), queue: "other" })).text("#n-queue")!,
    /encrypted for queue default/,
  );
  other.close();
});

Deno.test("a task whose arguments are results of others is shown, and is duplicated only with values in their place", async () => {
  await using board = await testDashboard();
  const make = task(taskName(), () => 1);
  const take = task(taskName(), (n: number, text: string) => text + n);
  const { id } = await board.test.ff.run(() => take.schedule(make.schedule(), "same"));
  await defineElsewhere(board, take.funcName);

  assertStringIncludes((await pageOf(await board.get(`/tasks/${id}`))).source, "same");
  const form = await pageOf(await board.get(`/new?from=${id}`));
  assertStringIncludes(form.source, "Result at 0");
  const fields = fieldsOf(form);
  const refused = await refuse(board, fields);
  assertStringIncludes(refused.source, "Cannot copy arguments that are results of other tasks");
  const copy = await schedule(board, { ...fields, params: '[5, "same"]' });
  const [row] = await board.test.db.sql`SELECT params, dependencies FROM firefly.task_json WHERE id = ${copy}`;
  assertEquals({ ...row }, { params: [5, "same"], dependencies: 0 });
});

Deno.test("the form of a task that is gone says so, and a viewer who may only look gets none", async () => {
  await using board = await testDashboard();
  for (const id of ["1", "x", "-1", "99999999999999999999"]) {
    assertEquals((await pageOf(await board.get(`/new?from=${id}`))).status, 404, id);
    assertEquals((await pageOf(await board.post("/new", { from: id, name: "a" }))).status, 404, id);
  }
  await using looking = await testDashboard({ readOnly: true });
  assertEquals((await pageOf(await looking.get("/new"))).status, 403);
  assertEquals((await pageOf(await looking.post("/new", { name: "a" }))).status, 403);
});

/**
 * The examples of the public API as the compiler sees them: this file tests by being type-checked. What the compiler
 * must refuse stands under `@ts-expect-error`, which is itself an error once the line below it compiles.
 */
import { assertEquals, assertThrows } from "@std/assert";
import { type } from "arktype";
import type postgres from "postgres";
import * as v from "valibot";
import { z } from "zod";
import {
  current,
  Fail,
  Firefly,
  type Queryable,
  Retry,
  SENSITIVE_KEYS,
  type Task,
  task,
  TaskExists,
  type TaskRecord,
  transaction,
} from "../../mod.ts";

/** Stand-ins for what comes with other packages, or with later releases. */
interface Context {
  req: { param(name: string): string };
  json(body: unknown, status?: number): Response;
}
interface App {
  get(path: string, handler: (c: Context) => Promise<Response>): void;
  post(path: string, handler: (c: Context) => Promise<Response>): void;
}
interface TestFirefly extends AsyncDisposable {
  scheduled<A extends unknown[], R>(task: Task<A, R>): Promise<A[]>;
  drain(): Promise<void>;
}
interface PgClient {
  query(text: string, values?: unknown[]): Promise<{ rows: unknown[] }>;
}
declare const app: App;
declare const client: PgClient;
declare function fromPg(client: PgClient): Queryable;
declare function testFirefly(): Promise<TestFirefly>;

/** Compiles only if the types are the same, and not just assignable. */
function assertSame<A, B>(
  _same: (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false,
) {}

const add = task({ name: "types.math.add", queue: "default", maxRetries: 3, retryDelay: 10 })(
  (i: number, j: number) => i + j,
);
const welcome = task("types.mail.welcome", async (user: string) => {
  const { sql, log, attempt, progress } = current();
  await progress(0.5, "rendering");
  await sql`update users set welcomed = now() where id = ${user}`;
  log.info("sent", { attempt });
});

async function _example1DefineCallScheduleReadBack() {
  assertSame<typeof add, Task<[i: number, j: number], number, (i: number, j: number) => number>>(true);
  const sum = add(1, 3);
  assertSame<typeof sum, number>(true);
  const row = await add.schedule(1, 3);
  assertSame<typeof row, TaskRecord<[i: number, j: number], number>>(true);
  const again = await add.get(row.id);
  // @ts-expect-error: the status is not known, so neither is the result
  again.returned.toFixed();
  if (again.status === "completed") console.log(again.returned.toFixed(), again.completed.getTime());
  // @ts-expect-error: a task that has not failed has no time of failure
  if (again.status === "completed") console.log(again.failed);
  if (again.status === "failed") console.log(again.error.message, again.failed.getTime());
}

async function _example2AsyncHandlerAndItsResult() {
  const fetchTitle = task({ name: "web.title", timeout: "30s" }, async (url: string) => {
    const res = await fetch(url, { signal: current().signal });
    if (res.status === 429) throw new Retry({ delay: "5m" });
    if (res.status === 404) throw new Fail("gone");
    return (await res.text()).match(/<title>(.*?)</)?.[1] ?? null;
  });
  const title: string | null = await fetchTitle.schedule("https://example.org").result({ timeout: "1m" });
  assertSame<ReturnType<typeof fetchTitle>, Promise<string | null>>(true);
  return title;
}

async function _example3OptionsForOneCall() {
  await add.with({ delay: "10m", priority: 5 }).schedule(1, 3);
  await add.with({ notBefore: new Date("2026-12-24T18:30Z"), queue: "slow" }).schedule(1, 3);
}

async function _example4Unique() {
  const sync = task({ name: "crm.sync", unique: { key: (customer: string) => customer } }, async (customer: string) => {
    await Promise.resolve(customer);
  });
  const row = await sync.schedule("acme");
  console.log(row.inserted);
  await sync.schedule("acme");
  await sync.with({ unique: "acme" }).schedule("acme");
  await sync.with({ unique: { among: ["created"], for: "1h", onConflict: "replace" } }).schedule("acme")
    .catch((error) => error instanceof TaskExists && assertSame<typeof error.key, string>(true));
}

async function _example5InOneTransaction() {
  await transaction(async (sql) => {
    const [user] = await sql<{ id: string }>`insert into users (mail) values (${"a@b.c"}) returning id`;
    await welcome.schedule(user!.id);
  });
  await welcome.with({ tx: fromPg(client) }).schedule("u1");
  await welcome.with({ tx: null }).schedule("u1");
}

async function _example6ManyAndCron() {
  const rows = await add.scheduleMany([[1, 2], [3, 4]]);
  assertSame<typeof rows, TaskRecord<[i: number, j: number], number>[]>(true);
  const nightly = task({ name: "reports.nightly", cron: "0 3 * * *", timezone: "Europe/Warsaw" }, async () => {
    await Promise.resolve();
  });
  assertSame<typeof nightly, Task<[], void, () => Promise<void>>>(true);
  const tick = task({ name: "types.tick", cron: "*/10 * * * * *", missed: "one", unique: true, retryDelay: "5m" })(() =>
    5
  );
  assertSame<typeof tick, Task<[], number, () => number>>(true);
}

function _example7RenamedCode() {
  const charge = task({ name: "billing.charge", aliases: ["app.views.charge"] }, (id: number) => id);
  assertSame<typeof charge, Task<[id: number], number, (id: number) => number>>(true);
}

async function _example8InstanceAndConsumer() {
  await using ff = new Firefly({ database: "postgres://localhost/app", schema: "jobs" });
  await using worker = ff.consume({ queues: ["mail", "default"], concurrency: 20 });
  await worker.ready;
  const row = await ff.run(() => add.schedule(1, 2));
  assertSame<typeof row.params, [i: number, j: number]>(true);
}

function _example9Routes() {
  app.post("/sums", async (c) => c.json(await add.schedule(1, 3), 202));
  app.get("/sums/:id", async (c) => {
    const t = await add.get(Number(c.req.param("id")));
    return c.json({ status: t.status, returned: t.returned });
  });
}

async function _example10Tests() {
  await using ff = await testFirefly();
  await welcome.schedule("u1");
  const calls: [user: string][] = await ff.scheduled(welcome);
  await ff.drain();
  return calls;
}

function _plainDataIsTaken() {
  interface Order {
    id: number;
    placed: Date;
    lines: { sku: string; price: bigint }[];
  }
  type Report = { totals: Map<string, number>; seen: Set<Order>; raw: Uint8Array; note?: string };
  const report = task("types.report", (orders: Order[], by: "day" | "week" = "day"): Report => {
    return { totals: new Map([[by, orders.length]]), seen: new Set(orders), raw: new Uint8Array() };
  });
  report.schedule([{ id: 1, placed: new Date(), lines: [] }]);
  report.schedule([], "week");
  const sum = task("types.sum", (...numbers: number[]) => numbers.reduce((a, b) => a + b, 0));
  sum.schedule(1, 2, 3);
  const anything = task("types.anything", (value: unknown) => value);
  anything.schedule({ whatever: 1 });
  const nothing = task("types.nothing", () => {});
  assertSame<typeof nothing, Task<[], void, () => void>>(true);
  const parse = task("types.parse", (text: string) => JSON.parse(text));
  parse.schedule("{}");
}

function _clientsOfOthersFit(pg: PgClient, tx: postgres.TransactionSql) {
  add.with({ tx: { query: async (text, params) => (await pg.query(text, params)).rows } }).schedule(1, 3);
  add.with({ tx }).schedule(1, 3);
}

async function _wrongArgumentsAreRefused() {
  // @ts-expect-error: a string is no number
  await add.schedule(1, "3");
  // @ts-expect-error: an argument is missing
  await add.schedule(1);
  // @ts-expect-error: there is one argument too many
  await add.schedule(1, 2, 3);
  // @ts-expect-error: the options of one call do not loosen its arguments
  await add.with({ priority: 1 }).schedule(1, "3");
  // @ts-expect-error: one of many has a wrong argument
  await add.scheduleMany([[1, 2], [3, "4"]]);
}

function _whatCannotBeStoredIsRefused() {
  // @ts-expect-error: a function cannot be stored
  task("x", (cb: () => void) => cb());
  // @ts-expect-error: nor can a symbol
  task("x", (key: symbol) => key.description);
  // @ts-expect-error: nor can a promise
  task("x", (later: Promise<number>) => later);
  // @ts-expect-error: nor can a function somewhere inside
  task("x", (options: { nested: { onDone: () => void }[] }) => options.nested.length);
  // @ts-expect-error: the result holds a function
  task("x", () => ({ close() {} }));
  // @ts-expect-error: the awaited result holds a function
  task("x", () => Promise.resolve({ close: () => {} }));
  // @ts-expect-error: the decorator refuses it as well
  task("x")((cb: () => void) => cb());
  // @ts-expect-error: and so does the one with options
  task({ name: "x" })(() => Symbol());
}

function _schemasFitTheirHandlers() {
  task({ name: "types.zod", input: z.tuple([z.string()]), output: z.number() }, (s: string) => s.length);
  task({ name: "types.zod_many", input: z.tuple([z.string()]).rest(z.number()) }, (s: string, ...n: number[]) => s + n);
  task({ name: "types.valibot", input: v.tuple([v.string()]) }, (s: string) => s);
  task({ name: "types.arktype", input: type(["string"]) }, (s: string) => s);
  task({ name: "types.made_of_text", input: z.tuple([z.coerce.date()]) }, (at: Date) => at);
  // @ts-expect-error: the handler takes a number, and the schema lets text through
  task({ name: "x", input: z.tuple([z.string()]) }, (n: number) => n);
  // @ts-expect-error: the same with valibot
  task({ name: "x", input: v.tuple([v.string()]) }, (n: number) => n);
  // @ts-expect-error: the same with arktype
  task({ name: "x", input: type(["string"]) }, (n: number) => n);
  // @ts-expect-error: the schema is one of the first argument, and not of the list of arguments
  task({ name: "x", input: z.string() }, (s: string) => s);
  // @ts-expect-error: the schema leaves an argument out
  task({ name: "x", input: z.tuple([z.string()]) }, (s: string, n: number) => s + n);
  // @ts-expect-error: no schema
  task({ name: "x", input: (args: unknown[]) => args }, (s: string) => s);
}

function _wrongSpecsAreRefused() {
  // @ts-expect-error: a task that runs by the clock takes no arguments
  task({ name: "x", cron: "0 3 * * *" }, (day: number) => day);
  // @ts-expect-error: nor does it through the decorator
  task({ name: "x", cron: "0 3 * * *" })((day: number) => day);
  // @ts-expect-error: what becomes of missed slots is one of three
  task({ name: "x", cron: "0 3 * * *", missed: "some" }, () => 1);
  // @ts-expect-error: a time zone requires a cron
  task({ name: "x", timezone: "Europe/Warsaw" }, () => 1);
  // @ts-expect-error: a name that is derived from the function changes with the bundler
  task({ queue: "x" }, () => 1);
  // @ts-expect-error: there is no such option
  task({ name: "x", maxRetrys: 3 }, () => 1);
  // @ts-expect-error: the unit of a duration is s, and no word
  task({ name: "x", timeout: "30 seconds" }, () => 1);
  // @ts-expect-error: the key is computed from other arguments than the handler's
  task({ name: "x", unique: { key: (id: number) => String(id) } }, (customer: string) => customer);
  // @ts-expect-error: the key is no text
  task({ name: "x", unique: { key: (id: number) => id } }, (id: number) => id);
  // @ts-expect-error: the key comes later
  task({ name: "x", unique: { key: (id: string) => Promise.resolve(id) } }, (id: string) => id);
  // @ts-expect-error: there is no such way out of a conflict
  task({ name: "x", unique: { onConflict: "ignore" } }, (id: number) => id);
}

async function _wrongOptionsOfOneCallAreRefused() {
  // @ts-expect-error: a delay and a time exclude each other
  await add.with({ delay: 10, notBefore: new Date() }).schedule(1, 3);
  // @ts-expect-error: the unit of a duration is m, and no word
  await add.with({ delay: "5 minutes" }).schedule(1, 3);
  // @ts-expect-error: there is no such option
  await add.with({ eta: new Date() }).schedule(1, 3);
}

function _encryptionAndRedactionAreTyped(key: CryptoKey) {
  new Firefly({ encryption: { keys: { a: key, b: "Base64" }, current: "a" }, redact: [...SENSITIVE_KEYS, /^x-/i] });
  new Firefly({ redact: (value, path) => path[0] === "params" ? "[redacted]" : value });
  // @ts-expect-error: one key must be the current one
  new Firefly({ encryption: { keys: { a: key } } });
  // @ts-expect-error: a key is Base64 or a CryptoKey
  new Firefly({ encryption: { keys: { a: new Uint8Array(32) }, current: "a" } });
  // @ts-expect-error: names are text or patterns
  new Firefly({ redact: [1] });
}

Deno.test("task() returns what is still the plain function", () => {
  assertEquals(add(1, 3), 4);
});

Deno.test("with() refuses a delay together with notBefore from code that is not type-checked", () => {
  // @ts-expect-error: a delay and a time exclude each other
  assertThrows(() => add.with({ delay: 10, notBefore: new Date() }), TypeError, "exclude each other");
});

Deno.test("task() refuses a missing name from code that is not type-checked", () => {
  // @ts-expect-error: a name is required
  assertThrows(() => task({ queue: "x" }, () => 1), TypeError, "name");
});

Deno.test("task() refuses an unknown option from code that is not type-checked", () => {
  // @ts-expect-error: there is no such option
  assertThrows(() => task({ name: "types.typo", maxRetrys: 3 }, () => 1), TypeError, 'did you mean "maxRetries"');
});

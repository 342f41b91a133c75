import { assert, assertEquals, assertInstanceOf, assertMatch, assertStrictEquals, assertThrows } from "@std/assert";
import { inspect } from "node:util";
import { current, Fail, Firefly, type Redact, task } from "../../mod.ts";
import { renderPage } from "../../src/cli/record_page.ts";
import { Terminal } from "../../src/cli/terminal.ts";
import { describeError } from "../../src/settle/error_record.ts";
import { Redactor } from "../../src/privacy/redaction.ts";
import { jsonLines, PACKAGE, testProject } from "../support/project.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { recordOf } from "../support/records.ts";

const R = "[redacted]";
const redactor = new Redactor();

for (
  const key
    of "password userPassword USER_PASSWORD db-passwd secret client_secret access_token x-api-key apiKey API_KEY Authorization Set-Cookie privateKey creditCard card_number"
      .split(" ")
) {
  Deno.test(`Redactor hides ${key} if nothing else is said`, () => {
    assertEquals(redactor.redact({ [key]: "v", user: "u" }), { [key]: R, user: "u" });
  });
}

Deno.test("Redactor shows names that only hold a sensitive word, and values that are not there", () => {
  const value = { tokens: 5, secretary: "x", passwordless: true, cookiePolicy: "y", token: null, password: undefined };

  assertStrictEquals(redactor.redact(value), value);
});

const lists: [what: string, redact: Redact, value: unknown, shown: unknown][] = [
  ["nothing for an empty list", [], { password: 1 }, { password: 1 }],
  ["only what a list names", ["i-ban"], { IBAN: 1, myIban: 2, password: 3 }, { IBAN: R, myIban: R, password: 3 }],
  ["what a pattern fits", [/^x-/i], { "X-Id": 1, "a-x-b": 2 }, { "X-Id": R, "a-x-b": 2 }],
  ["with a pattern that remembers its place", [/x/g], [{ x: 1 }, { ax: 1 }, { x: 1 }], [{ x: R }, { ax: R }, { x: R }]],
  ["parts of lists", ["a"], [{ a: 1 }, [{ a: 2 }]], [{ a: R }, [{ a: R }]]],
  ["whole objects", ["a"], { a: { b: 1 } }, { a: R }],
  [
    "values of a Map",
    ["a"],
    new Map<unknown, unknown>([["a", 1], ["b", { a: 2 }]]),
    new Map<unknown, unknown>([["a", R], ["b", { a: R }]]),
  ],
  ["parts of a Set", ["a"], new Set([{ a: 1 }]), new Set([{ a: R }])],
  ["beside dates and bytes", ["a"], { a: 1, at: new Date(0), b: new Uint8Array(2) }, {
    a: R,
    at: new Date(0),
    b: new Uint8Array(2),
  }],
  [
    "beside an own __proto__",
    ["a"],
    JSON.parse('{"a":1,"__proto__":{"a":2}}'),
    JSON.parse(`{"a":"${R}","__proto__":{"a":"${R}"}}`),
  ],
  ["what a function says", (v) => typeof v === "number" ? v + 1 : v, { a: 1, b: [2] }, { a: 2, b: [3] }],
  ["by the path", (v, path) => path.join(".") === "a.1" ? "no" : v, { a: [1, 1] }, { a: [1, "no"] }],
  [
    "what a function cannot tell",
    (_, path) => {
      if (path[0] === "a") throw new Error("oops");
      return _;
    },
    { a: 1, b: 2 },
    { a: R, b: 2 },
  ],
];

for (const [what, redact, value, shown] of lists) {
  Deno.test(`Redactor hides ${what}`, () => {
    const before = inspect(value, { depth: 9 });
    assertEquals(new Redactor(redact).redact(value), shown);
    assertEquals(inspect(value, { depth: 9 }), before);
  });
}

Deno.test("Redactor gives the very value if nothing is to be hidden", () => {
  class Point {
    x = 1;
  }
  const value = { point: new Point(), match: "xfoo".match(/f(o)/) };

  assertStrictEquals(redactor.redact(value), value);
});

Deno.test("Redactor asks a function about one object at each of its places", () => {
  const user = { name: "ada" };

  const shown = new Redactor((value, path) => path[0] === "b" && path[1] === "name" ? R : value).redact({
    a: user,
    b: user,
  });

  assertEquals(shown, { a: { name: "ada" }, b: { name: R } });
});

Deno.test("Redactor follows cycles, also with a function", () => {
  const value: Record<string, unknown> = { password: "x" };
  value.self = value;

  for (const one of [redactor, new Redactor((v, path) => path.at(-1) === "password" ? R : v)]) {
    const shown = one.redact(value);
    assertEquals(shown.password, R);
    assertStrictEquals(shown.self, shown);
  }
});

Deno.test("Redactor survives what throws when it is read, and what is too deep or too large for a function", () => {
  const thrower = {
    password: 1,
    get bad() {
      throw new Error("no");
    },
  };
  let deep: unknown = { password: "hunter2" };
  for (let i = 0; i < 50_000; i++) deep = [deep];
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  const huge = Array.from({ length: 200_000 }, () => "hunter2");

  assertEquals(redactor.redact<unknown>(thrower), { password: R, bad: "[cannot be read]" });
  assert(!inspect(redactor.redact(deep), { depth: Infinity }).includes("hunter2"));
  assertEquals(redactor.redact<unknown>([proxy]), R);
  assertEquals((new Redactor((v) => v).redact(huge) as unknown[]).at(-1), R);
  assertStrictEquals(redactor.redact(huge), huge);
});

Deno.test("Redactor shows an error as an error of its class, without the parameters of its statement", async () => {
  await using test = await testInstance();
  const failed: Error = await test.db.sql`SELECT ${"hunter2-0451"}::text::integer`.then(() => new Error(), (e) => e);
  const outer = Object.assign(new RangeError("params: hunter2-0451", { cause: failed }), {
    params: ["hunter2-0451"],
    headers: { authorization: "Bearer x" },
  });

  const shown = redactor.redact(outer);

  assertInstanceOf(shown, RangeError);
  const text = inspect(shown, { depth: 9, showHidden: true });
  assert(!text.includes("hunter2-0451") && !text.includes("Bearer"), text);
  assertMatch(text, /RangeError: params: \[redacted\][^]*invalid input syntax/);
  assertMatch(outer.message, /hunter2-0451/);
});

Deno.test("describeError() stores what a function makes of the texts", () => {
  const stored = describeError(
    new Error("call 555-0100", { cause: "555-0100" }),
    new Redactor((value) => typeof value === "string" ? value.replaceAll("555-0100", "…") : value),
  );
  assert(!JSON.stringify(stored).includes("555"));
  assertEquals(stored.message, "call …");
  assertEquals(describeError(new Error("x"), new Redactor(() => undefined)).message, R);
});

Deno.test("new Firefly() refuses a redact that is none", () => {
  // deno-lint-ignore no-explicit-any
  for (const redact of ["password", [1], {}] as any[]) {
    assertThrows(
      () => new Firefly({ redact }),
      TypeError,
      '"redact" must be a list of names and patterns, or a function',
    );
  }
});

Deno.test("redact: handlers get and tables hold what was given, log events do not", async () => {
  await using test = await testInstance();
  const { ff, db } = test;
  const login = task(taskName(), (user: { password: string }) => {
    current().log.info("login", { user, headers: { Cookie: "a=b" } });
    return { token: user.password.length };
  });
  const logged: unknown[] = [];
  ff.on("log", ({ message, fields }) => logged.push([message, fields]));

  const record = await ff.run(() => login.schedule({ password: "hunter2" }));
  await test.drain({ tasks: [login] });

  assertEquals(logged, [["login", { user: { password: R }, headers: { Cookie: R } }]]);
  assertEquals((await record.refresh()).returned, { token: 7 });
  assertEquals(atob((await recordOf(db, record.id)).params as string), '[{"password":"hunter2"}]');
});

const MARKER = "marker-of-Ada-0451";

/** Tasks whose failures carry a marker, as the drivers and ORMs in use make them. */
const JOBS = `
  import { current, Firefly, task, transaction } from ${JSON.stringify(PACKAGE)};
  export const cast = task("cast", async (user: { secret: string }) => {
    current().log.warn("trying", { user });
    await current().sql\`SELECT \${user.secret}::text::integer\`;
  });
  export const orm = task("orm", async (user: { secret: string }) => {
    const params = [user.secret];
    const cause = Object.assign(new Error("no"), { query: "SELECT $1", parameters: params, args: params });
    throw Object.assign(new Error("Failed query: SELECT $1\\nparams: " + params), { params, cause, user });
  });
  export const loose = task("loose", async (user: { secret: string }) => {
    const secret = user.secret;
    Promise.reject(Object.assign(new Error("query failed: " + secret), { parameters: [secret] }));
    await new Promise((resolve) => setTimeout(resolve, 50));
    return { secret };
  });
`;

Deno.test("redact: a real consumer and the command line show nothing of arguments and parameters, nor do stored errors", async () => {
  await using test = await testInstance();
  const { db } = test;
  await using project = await testProject({ files: { "tasks.ts": JOBS }, database: db.url });
  const outputs: string[] = [];
  const run = async (...args: string[]) => {
    const { code, stdout, stderr } = await project.run(...args);
    assertEquals(code, 0, stderr);
    outputs.push(stdout + stderr);
    return stdout;
  };
  for (const name of ["cast", "orm", "loose"]) await run("schedule", name, `[{"secret":"${MARKER}"}]`, "--json");
  await run("consume", "--drain", "--verbose");
  for (const id of ["1", "2", "3"]) {
    await run("show", id, "--json");
    await run("explain", id, "--json");
  }
  const [list] = [jsonLines(await run("list", "--json"))];

  assertEquals(list!.map(({ status }) => status), ["completed", "failed", "failed"]);
  assertEquals([list![0].params, list![0].returned], [[{ secret: R }], { secret: R }]);
  assertEquals(outputs.join("\n").split(MARKER).length - 1, 0, outputs.find((output) => output.includes(MARKER)));
  const [stored] = await db.sql`SELECT string_agg(errors::text, '' ORDER BY id) AS errors FROM firefly.task`;
  assert(!stored!.errors.includes(MARKER));
  assertMatch(stored!.errors, /invalid input syntax[^]*Failed query/);
});

Deno.test("renderPage() hides parts of arguments, results, notes and errors, with a function in texts too", async () => {
  await using test = await testInstance();
  const { ff } = test;
  const login = task(taskName(), async (user: { secret: string }) => {
    await current().progress(0.5, user.secret);
    throw new Fail(`no ${user.secret}`);
  });
  const { id } = await ff.run(() => login.schedule({ secret: MARKER }));
  await test.drain({ tasks: [login] });
  const record = await ff.tasks.get(id);
  const terminal = new Terminal({ json: false, table: false, verbosity: "quiet" });

  assertMatch(renderPage(record, terminal), /secret: '\[redacted\]'/);
  assert(renderPage(record, terminal).includes(MARKER)); // in texts, which a list does not search
  terminal.redactor = new Redactor((value) => typeof value === "string" ? value.replaceAll(MARKER, R) : value);
  assert(!renderPage(record, terminal).includes(MARKER));
});

Deno.test("redact: firefly.config.ts decides, and an empty list shows all", async () => {
  await using test = await testInstance();
  const files = {
    "tasks.ts": JOBS,
    "firefly.config.ts": `export default { redact: process.env.SHOW_ALL ? [] : ["name"] };`,
  };
  const args = ["schedule", "cast", `[{"secret":"${MARKER}","name":"Ada"}]`, "--json"];
  await using named = await testProject({ files, database: test.db.url });
  await using all = await testProject({ files, database: test.db.url, env: { SHOW_ALL: "1" } });

  assertEquals(jsonLines((await named.run(...args)).stdout)[0].params, [{ secret: MARKER, name: R }]);
  assertEquals(jsonLines((await all.run(...args)).stdout)[0].params, [{ secret: MARKER, name: "Ada" }]);
});

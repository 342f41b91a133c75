import { assertEquals, assertThrows } from "@std/assert";
import { DatabaseUnreachable } from "../../mod.ts";
import { chooseDatabase } from "../../src/firefly/database_choice.ts";

type Variables = Record<string, string>;

function choose(environment: Variables, { isInteractive = false, given, deployedBy }: {
  isInteractive?: boolean;
  given?: string | object;
  deployedBy?: string;
} = {}): unknown {
  return chooseDatabase(given, { environment, isInteractive, deployedBy });
}

const chosen: [environment: Variables, given: string | object | undefined, database: unknown][] = [
  [{ FIREFLY_DATABASE_URL: "postgres://a", DATABASE_URL: "postgres://b", PGHOST: "c" }, "postgres://x", "postgres://x"],
  [{ FIREFLY_DATABASE_URL: "postgres://a" }, "embedded", "embedded"],
  [{ FIREFLY_DATABASE_URL: "postgres://a" }, { host: "h" }, { host: "h" }],
  [{ FIREFLY_DATABASE_URL: "postgres://a", DATABASE_URL: "postgres://b" }, undefined, "postgres://a"],
  [{ FIREFLY_DATABASE_URL: "", DATABASE_URL: "postgres://b", PGHOST: "c" }, undefined, "postgres://b"],
  [{ FIREFLY_DATABASE_URL: "embedded" }, undefined, "embedded"],
  [{ DATABASE_URL: "postgres://b", FIREFLY_EMBEDDED: "1" }, undefined, "postgres://b"],
  [{ PGHOST: "c" }, undefined, {}],
  [{ PGHOSTADDR: "10.0.0.1" }, undefined, {}],
  [{ PGSERVICE: "s" }, undefined, {}],
  [{ PGDATABASE: "d" }, undefined, {}],
  [{ FIREFLY_EMBEDDED: "1" }, undefined, "embedded"],
  [{ FIREFLY_EMBEDDED: "true", NODE_ENV: "production", KUBERNETES_SERVICE_HOST: "10.0.0.1" }, undefined, "embedded"],
];

for (const [environment, given, database] of chosen) {
  Deno.test(`chooseDatabase() takes ${JSON.stringify(database)} by ${JSON.stringify({ given, environment })}`, () => {
    assertEquals(choose(environment, given === undefined ? {} : { given }), database);
  });
}

Deno.test("chooseDatabase() takes the embedded server at a terminal", () => {
  assertEquals(choose({ NODE_ENV: "development", CI: "false", PGUSER: "me" }, { isInteractive: true }), "embedded");
});

const deployed: Variables[] = [
  { NODE_ENV: "production" },
  { DENO_ENV: "Production" },
  { KUBERNETES_SERVICE_HOST: "10.0.0.1" },
  { DENO_DEPLOYMENT_ID: "x" },
  { CI: "true" },
];

for (const environment of deployed) {
  Deno.test(`chooseDatabase() refuses the embedded server at a terminal where ${JSON.stringify(environment)}`, () => {
    const [name] = Object.keys(environment);
    assertThrows(() => choose(environment, { isInteractive: true }), DatabaseUnreachable, `and ${name}`);
  });
}

Deno.test("chooseDatabase() refuses the embedded server for a consumer with --probe-port, and where FIREFLY_EMBEDDED=0", () => {
  const isInteractive = true;
  assertThrows(
    () => choose({}, { isInteractive, deployedBy: "--probe-port" }),
    DatabaseUnreachable,
    "and --probe-port",
  );
  assertThrows(() => choose({ FIREFLY_EMBEDDED: "0" }, { isInteractive }), DatabaseUnreachable);
  assertThrows(() => choose({ FIREFLY_EMBEDDED: "maybe" }), TypeError, 'must be 1 or 0: current value is "maybe"');
});

Deno.test("chooseDatabase() names what it looked at, and how to ask for the embedded server", () => {
  const error = assertThrows(() => choose({ PATH: "/bin", HOME: "/root" }), DatabaseUnreachable);
  assertEquals(
    error.message,
    "Cannot find a database as none of FIREFLY_DATABASE_URL, DATABASE_URL, PGHOST, PGHOSTADDR, PGSERVICE, PGDATABASE is " +
      'set: set one of them, or ask for the embedded PostgreSQL with --embedded, FIREFLY_EMBEDDED=1 or database: "embedded"',
  );
  assertEquals(error.refused, true);
});

const suggestions: [environment: Variables, suggestion: string | undefined][] = [
  [{ DATABSE_URL: "postgres://u:secret@h/d" }, "(DATABSE_URL is: did you mean DATABASE_URL?)"],
  [{ DATABASE_ULR: "x" }, "(DATABASE_ULR is: did you mean DATABASE_URL?)"],
  [{ DATABASEURL: "x" }, "(DATABASEURL is: did you mean DATABASE_URL?)"],
  [{ database_url: "x" }, "(database_url is: did you mean DATABASE_URL?)"],
  [{ FIREFLY_DATABASE_URI: "x" }, "(FIREFLY_DATABASE_URI is: did you mean FIREFLY_DATABASE_URL?)"],
  [{ FIREFLY_DATABSE_URL: "x" }, "(FIREFLY_DATABSE_URL is: did you mean FIREFLY_DATABASE_URL?)"],
  [{ FIERFLY_DATABASE_URL: "x" }, "(FIERFLY_DATABASE_URL is: did you mean FIREFLY_DATABASE_URL?)"],
  [{ PG_HOST: "x" }, "(PG_HOST is: did you mean PGHOST?)"],
  [{ PGHSOT: "x" }, undefined],
  [{ PGHOSTS: "x" }, "(PGHOSTS is: did you mean PGHOST?)"],
  [{ POSTGRES_URL: "x" }, "(POSTGRES_URL is: did you mean DATABASE_URL?)"],
  [{ APP_DB: "postgresql://u:secret@h/d" }, "(APP_DB has a database URL: did you mean DATABASE_URL?)"],
  [{ DATABASE_URL: "", PATH: "/bin" }, "(DATABASE_URL is empty)"],
  [{ TEST_DATABASE_URL: "postgres://u:secret@h/d" }, undefined],
  [{ PATH: "/bin", HOST: "h", HOME: "/", PGUSER: "u", PGPORT: "1", PGPASSWORD: "secret" }, undefined],
];

for (const [environment, suggestion] of suggestions) {
  Deno.test(`chooseDatabase() suggests ${suggestion ?? "nothing"} where ${Object.keys(environment)} is set`, () => {
    const { message } = assertThrows(() => choose(environment), DatabaseUnreachable);
    assertEquals(/\(.*?\)/.exec(message)?.[0], suggestion);
    assertEquals(message.includes("secret"), false);
  });
}

Deno.test("chooseDatabase() takes the embedded server for a test anywhere, unless it is forbidden", () => {
  const choose = (environment: Variables) => chooseDatabase(undefined, { environment, isTest: true });

  assertEquals(choose({ CI: "true" }), "embedded");
  assertEquals(choose({ DATABASE_URL: "postgres://h/app" }), "postgres://h/app");
  assertThrows(() => choose({ FIREFLY_EMBEDDED: "0" }), DatabaseUnreachable);
});

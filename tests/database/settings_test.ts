import { assert, assertEquals, assertRejects } from "@std/assert";
import process from "node:process";
import { resolveConnection, withoutForeignParameters } from "../../src/database/settings.ts";
import { Database } from "../../src/database/pools.ts";
import { testDatabase } from "../support/database.ts";

const VARIABLES = ["FIREFLY_DATABASE_URL", "DATABASE_URL", "PGHOST", "PGPORT", "PGDATABASE", "PGUSER"];

/** Sets the variables that name a database, and puts back what was there. */
function environment(variables: Record<string, string>): Disposable {
  const before = VARIABLES.map((name) => [name, process.env[name]] as const);
  for (const name of VARIABLES) delete process.env[name];
  Object.assign(process.env, variables);
  return {
    [Symbol.dispose]() {
      for (const [name, value] of before) {
        if (value === undefined) delete process.env[name];
        else process.env[name] = value;
      }
    },
  };
}

Deno.test("resolveConnection() prefers its argument to the environment", async () => {
  using _ = environment({ FIREFLY_DATABASE_URL: "postgres://other/b" });

  const { url, embedded } = await resolveConnection("postgres://host/a");

  assertEquals([url, embedded], ["postgres://host/a", false]);
});

function neverStarted(): Promise<never> {
  throw new Error("The embedded server must not be started");
}

Deno.test("resolveConnection() prefers FIREFLY_DATABASE_URL to DATABASE_URL to PGHOST", async () => {
  {
    using _ = environment({ FIREFLY_DATABASE_URL: "postgres://a/a", DATABASE_URL: "postgres://b/b", PGHOST: "c" });
    assertEquals((await resolveConnection(undefined, neverStarted)).url, "postgres://a/a");
  }
  {
    using _ = environment({ FIREFLY_DATABASE_URL: "", DATABASE_URL: "postgres://b/b", PGHOST: "c" });
    assertEquals((await resolveConnection(undefined, neverStarted)).url, "postgres://b/b");
  }
  {
    using _ = environment({ PGHOST: "c", PGPORT: "6543", PGDATABASE: "d" });
    const { url, label } = await resolveConnection(undefined, neverStarted);
    assertEquals([url, label], [undefined, "c:6543/d"]);
  }
});

const labels: [url: string, label: string][] = [
  ["postgres://user:secret@db.example:6432/app?sslmode=require", "db.example:6432/app"],
  ["postgresql://db.example/app", "db.example:5432/app"],
  ["postgres://user:p%40ss%2Fword@db.example/app", "db.example:5432/app"],
  ["postgres://user:secret@one:5432,two:5433/app", "one:5432/app"],
  ["postgres://user:secret@[::1]:5433/app", "[::1]:5433/app"],
];

for (const [url, label] of labels) {
  Deno.test(`resolveConnection() shows ${url} as ${label}`, async () => {
    assertEquals((await resolveConnection(url)).label, label);
  });
}

Deno.test("resolveConnection() shows options without their password", async () => {
  using _ = environment({});
  const { label } = await resolveConnection({ host: "h", port: 1, database: "d", username: "u", password: "secret" });
  assertEquals(label, "h:1/d");
});

for (const url of ["mysql://root:secret@host/db", "host:secret/db", "postgres://user:sec ret@ho st:x/db"]) {
  Deno.test(`resolveConnection() refuses ${url} without repeating it`, async () => {
    const error = await assertRejects(() => resolveConnection(url), TypeError, "Cannot use the database URL");
    assert(!error.message.includes("sec"));
  });
}

const parameters: [query: string, kept: string][] = [
  ["", ""],
  ["?sslmode=require&channel_binding=require", "?sslmode=require"],
  ["?pgbouncer=true&connection_limit=1&pool_timeout=2&schema=public", ""],
  ["?sslrootcert=%2Fetc%2Fca.pem&application_name=app", "?application_name=app"],
  ["?sslrootcert=system", "?sslmode=verify-full"],
  ["?options=-c%20search_path%3Dx", "?options=-c%20search_path%3Dx"],
];

for (const [query, kept] of parameters) {
  Deno.test(`withoutForeignParameters() makes "${kept}" of "${query}"`, () => {
    assertEquals(withoutForeignParameters(`postgres://u:p@host/db${query}`), `postgres://u:p@host/db${kept}`);
  });
}

Deno.test("resolveConnection() makes a URL that a server accepts, from one with the parameters of a dozen other clients", async () => {
  await using db = await testDatabase({ migrated: false });
  const foreign = [
    "channel_binding=prefer",
    "pgbouncer=true",
    "connection_limit=5",
    "pool_timeout=10",
    "socket_timeout=10",
    "schema=public",
    "sslrootcert=/nowhere.pem",
    "sslcert=/nowhere.pem",
    "sslkey=/nowhere.pem",
    "sslaccept=strict",
    "sslnegotiation=postgres",
    "gssencmode=disable",
    "keepalives=1",
    "keepalives_interval=5",
    "tcp_user_timeout=1000",
    "load_balance_hosts=disable",
    "uselibpqcompat=true",
    "supa=base-pooler.x",
  ];
  const separator = db.url.includes("?") ? "&" : "?";
  const settings = await resolveConnection(`${db.url}${separator}${foreign.join("&")}&application_name=mine`);
  const database = new Database(settings, "firefly");

  const [row] = await database.sql`SELECT current_setting('application_name') AS name`;
  await database.end();

  assertEquals(row!.name, "mine");
});

import { assertEquals } from "@std/assert";
import { resolveConnection } from "../../src/database/settings.ts";
import { type Place, toConnectionString, withDatabase } from "../../src/testing/database_url.ts";

/** Places of databases, and what they become for the database `t_1`. */
const CASES: [Place, Place][] = [
  ["postgres://u:p%40ss@h:1/app?sslmode=disable&x=a%20b", "postgres://u:p%40ss@h:1/t_1?sslmode=disable&x=a%20b"],
  ["postgresql://h", "postgresql://h/t_1"],
  ["postgres://u:a?b@h/app", "postgres://u:a?b@h/t_1"],
  ["postgres://one:1,two:2/app", "postgres://one:1,two:2/t_1"],
  ["postgres://u@%2Fvar%2Frun/app\n", "postgres://u@%2Fvar%2Frun/t_1"],
  ["postgres://h/?dbname=app", "postgres://h/t_1?dbname=app&dbname=t_1"],
  ["host=h dbname=app", "host=h dbname=app dbname=t_1"],
  [{}, "dbname=t_1"],
  [{ host: "h", database: "app", port: 1 }, { host: "h", database: "t_1", port: 1 }],
];

for (const [place, expected] of CASES) {
  Deno.test(`withDatabase() keeps all of ${JSON.stringify(place)} but the database`, async () => {
    const found = withDatabase(place, "t_1");

    assertEquals(found, expected);
    const environment = { PGUSER: "someone", PGHOST: "elsewhere" };
    const [before, after] = await Promise.all([place, found].map((one) => resolveConnection(one, { environment })));
    assertEquals(after!.target, { ...before!.target, database: "t_1" });
  });
}

Deno.test("toConnectionString() writes options as a string that means the same", async () => {
  const options = {
    host: "127.0.0.1",
    port: 7,
    database: "t_1",
    username: "it's me",
    password: "a\\b 'c'",
    ssl: "require",
  } as const;

  const text = toConnectionString(options);

  assertEquals((await resolveConnection(text)).target, (await resolveConnection(options)).target);
  assertEquals(toConnectionString("postgres://h/app"), "postgres://h/app");
});

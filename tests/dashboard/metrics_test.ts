import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import parse from "parse-prometheus-text-format";
import { dashboard } from "../../dashboard.ts";
import { Firefly } from "../../mod.ts";
import { ORIGIN, testDashboard } from "../support/dashboard.ts";
import { testDatabase } from "../support/database.ts";
import { insertTask } from "../support/records.ts";
import { rolesDatabase } from "../support/roles.ts";
import { TcpProxy } from "../support/tcp_proxy.ts";

interface Family {
  readonly name: string;
  readonly metrics: readonly { readonly labels?: Readonly<Record<string, string>>; readonly value: string }[];
}

/** Reads metrics as Prometheus does. */
async function familiesOf(response: Response): Promise<Map<string, Family["metrics"]>> {
  const families = parse(await response.text()) as Family[];
  return new Map(families.map(({ name, metrics }) => [name, metrics]));
}

Deno.test("/metrics answers what the queues hold, to whom authorize() lets through", async () => {
  await using board = await testDashboard({
    basePath: "/firefly",
    authorize: (request) => request.headers.get("authorization") === "Bearer t0ken",
  });
  await insertTask(board.test.db, { queue: "mail" });
  await insertTask(board.test.db, { queue: "mail" });
  const scrape = (headers: HeadersInit = {}, method = "GET") =>
    board.fetch(new Request(`${ORIGIN}/firefly/metrics`, { method, headers }));

  const refused = await Promise.all([scrape(), scrape({ authorization: "Bearer wrong" })]);
  const response = await scrape({ authorization: "Bearer t0ken" });
  const head = await scrape({ authorization: "Bearer t0ken" }, "HEAD");

  assertEquals(refused.map(({ status }) => status), [403, 403]);
  for (const { body } of refused) await body?.cancel();
  assertEquals([response.status, head.status, await head.text()], [200, 200, ""]);
  assertEquals(response.headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  assertEquals(response.headers.get("cache-control"), "no-store");
  const families = await familiesOf(response);
  const names = [...families.keys()];
  assertEquals(families.get("firefly_queue_ready"), [{ labels: { queue: "mail" }, value: "2" }]);
  assertEquals(families.get("firefly_database_up")?.[0]?.value, "1");
  assert(names.includes("firefly_wanted_consumers"));
  assertEquals(names.filter((name) => /^(process_|firefly_(consumer_|attempts|run|wait|build))/.test(name)), []);
});

Deno.test("/metrics says that the database is down while it does not answer", async () => {
  await using db = await testDatabase();
  await using proxy = await TcpProxy.start(db.url);
  await using ff = new Firefly({ database: proxy.through(db.url) });
  const board = dashboard({ firefly: ff, open: true });
  await ff.sql`SELECT 1`;
  proxy.mode = "reject";
  proxy.cut({ reset: true });

  const response = await board.fetch(new Request(`${ORIGIN}/metrics`));

  assertEquals(response.status, 200);
  assertEquals(Array.from(await familiesOf(response), ([name, [sample]]) => [name, sample?.value]), [
    ["firefly_database_up", "0"],
  ]);
  board.close();
});

Deno.test("/metrics refuses where the login of the dashboard may only look", async () => {
  await using roles = await rolesDatabase();
  await using ff = new Firefly({ database: roles.urlOf("viewer"), schema: roles.schema });
  const board = dashboard({ firefly: ff, open: true });

  const response = await board.fetch(new Request(`${ORIGIN}/metrics`));

  assertEquals(response.status, 403);
  assertStringIncludes(await response.text(), "lacks a privilege");
  board.close();
});

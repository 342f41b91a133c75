import { assert, assertEquals, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import { dashboard } from "../../dashboard.ts";
import { Firefly } from "../../mod.ts";
import type { Route } from "../../src/dashboard/context.ts";
import { findRoute } from "../../src/dashboard/routes.ts";
import { testDashboard } from "../support/dashboard.ts";
import { testInstance } from "../support/instance.ts";

Deno.test("dashboard() answers GET / with a page", async () => {
  await using test = await testInstance();
  const board = dashboard({ firefly: test.ff, open: true });

  const response = await board.fetch(new Request("http://localhost/"));

  assertEquals(response.status, 200);
  assertStringIncludes(await response.text(), "<h1");
});

Deno.test("dashboard() refuses wrong options", () => {
  const firefly = new Firefly({ database: "postgres://localhost/none" });
  assertThrows(() => dashboard({ firefly, basePath: "firefly" }), TypeError, '"basePath" must be a path');
  assertThrows(() => dashboard({ firefly, open: true, authorize: () => true }), TypeError, "exclude each other");
  assertThrows(() => dashboard({ firefly, hosts: ["ops.example:80"] }), TypeError, '"hosts" must be');
  assertThrows(() => dashboard({ firefly, opne: true } as never), TypeError, 'did you mean "open"');
});

Deno.test("a page is shown as it was last, without buttons, while the database does not answer", async () => {
  const users = ["ana", "ben"];
  await using board = await testDashboard({ authorize: (request) => ({ user: request.headers.get("x-user")! }) });
  const { db } = board.test;
  const ask = (user: string, path = "/") => board.get(path, { headers: { "x-user": user } });
  await (await ask("ana")).body?.cancel();

  await db.sql`ALTER TABLE firefly.migration RENAME TO gone`;
  const [last, none] = await Promise.all(users.map((user) => ask(user)));
  const [shown, refused] = [await last!.text(), await none!.text()];

  assertEquals([last!.status, none!.status], [503, 503]);
  assertMatch(shown, /What you see is as of \d\d:\d\d:\d\d UTC[^]*<fieldset class="still" disabled>[^]*<h1/);
  assert(!refused.includes("<fieldset"), "what one viewer saw is shown to another");
  await db.sql`ALTER TABLE firefly.gone RENAME TO migration`;
  assert(!(await (await ask("ana")).text()).includes("<fieldset"));
});

Deno.test("findRoute() takes the first route that matches, decodes its parameters and knows the methods of a path", () => {
  const route = (method: "GET" | "POST", path: string): Route => ({ method, path, run: () => Promise.reject() });
  const routes = [
    route("GET", "/tasks/new"),
    route("GET", "/tasks/:id"),
    route("POST", "/tasks/:id"),
    route("POST", "/go"),
  ];
  const find = (method: string, path: string) => {
    const match = findRoute(method, path, routes);
    return match && ("route" in match ? [match.route.path, match.params] : match.allow);
  };

  assertEquals(find("GET", "/tasks/new"), ["/tasks/new", {}]);
  assertEquals(find("HEAD", "/tasks/a%2Fb%20%C5%BC"), ["/tasks/:id", { id: "a/b ż" }]);
  assertEquals(find("PUT", "/tasks/1"), ["GET", "HEAD", "POST"]);
  assertEquals(find("GET", "/go"), ["POST"]);
  for (const path of ["/tasks", "/tasks/", "/tasks/1/2", "/tasks/%zz"]) assertEquals(find("GET", path), undefined);
});

Deno.test("GET /counts.json has the numbers of the overview, for programs", async () => {
  await using board = await testDashboard();
  const { db, ff } = board.test;
  await db.sql`SELECT firefly.schedule('a', queue => 'mail') FROM generate_series(1, 3)`;
  await db.sql`SELECT firefly.schedule('a', queue => 'mail', not_before => now() + interval '1 hour')`;
  await db.sql`
    INSERT INTO firefly.failed_task (task_id, failed, queue, func_name, fingerprint) VALUES (1, now(), 'mail', 'a', 1)
  `;
  await ff.pause("mail");

  const response = await board.get("/counts.json");
  const { now, oldest_due_seconds, queues: [{ oldest_due_seconds: oldest, ...queue }], ...counts } = await response
    .json();

  assertEquals([response.headers.get("content-type"), response.headers.get("cache-control")], [
    "application/json",
    "no-store",
  ]);
  assert(Date.parse(now) > 0 && oldest >= 0 && oldest_due_seconds === oldest);
  assertEquals(queue, { name: "mail", state: "paused", due: 3, running: 0 });
  assertEquals(counts, {
    due: 3,
    running: 0,
    places: 0,
    waiting: { time: 1 },
    failed_last_hour: { tasks: 1, or_more: false },
    consumers: 0,
  });
});

Deno.test("every page in the bar answers, and is marked there", async () => {
  await using board = await testDashboard({ basePath: "/firefly" });
  const page = await (await board.get("/firefly/")).text();
  const [bar] = /<nav aria-label="Pages">[^]*?<\/nav>/.exec(page)!;
  const links = Array.from(bar.matchAll(/href="([^"]*)"/g), ([, href]) => href!);

  assertEquals(links, ["/firefly/", "/firefly/tasks", "/firefly/queues", "/firefly/crons", "/firefly/consumers"]);
  for (const link of links) {
    const response = await board.get(link);
    assertEquals(response.status, 200, link);
    assertMatch(await response.text(), new RegExp(`<a href="${link}" data-go="\\w" aria-current="page">`));
  }
});

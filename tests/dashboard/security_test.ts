import { assert, assertEquals, assertMatch, assertNotMatch, assertStringIncludes } from "@std/assert";
import { dashboard } from "../../dashboard.ts";
import { Firefly, task } from "../../mod.ts";
import { readForm } from "../../src/dashboard/security.ts";
import { crawl, ORIGIN, testDashboard } from "../support/dashboard.ts";
import { taskName } from "../support/instance.ts";
import { rolesDatabase } from "../support/roles.ts";

/** Paths that each part of the handler answers: a page, an asset's folder, machines, an action, nothing. */
const PATHS = ["/", "/tasks", "/counts.json", "/pulse", "/metrics", "/tasks/retry", "/nothing"];

async function statusesOf(paths: readonly string[], ask: (path: string) => Promise<Response>): Promise<number[]> {
  const statuses: number[] = [];
  for (const path of paths) {
    const response = await ask(path);
    statuses.push(response.status);
    await response.body?.cancel();
  }
  return statuses;
}

Deno.test("a dashboard without authorize and open refuses everything, and says what to do", async () => {
  await using board = await testDashboard({ authorize: undefined } as object);

  assertEquals(await statusesOf(PATHS, (path) => board.get(path)), PATHS.map(() => 403));
  assertEquals(await statusesOf(PATHS, (path) => board.post(path)), PATHS.map(() => 403));
  assertStringIncludes(await (await board.get("/")).text(), "Pass authorize to dashboard()");
});

Deno.test("authorize() decides on each request: true and a viewer pass, a response is sent, all else is refused", async () => {
  const answers: Record<string, unknown> = {
    true: true,
    viewer: { user: "ana@shop.example" },
    false: false,
    nothing: undefined,
    text: "ana",
    nameless: { user: undefined },
    unnamed: { user: "" },
    row: { id: 7, isAdmin: false },
    foreign: { status: 401, headers: new Headers(), body: null },
    response: new Response("Log in", {
      status: 401,
      headers: { "www-authenticate": "Basic", "cache-control": "private", "set-cookie": "a=1" },
    }),
  };
  await using board = await testDashboard({
    authorize: (request) => Promise.resolve(answers[request.headers.get("x-case")!] as boolean),
  });
  const ask = (name: string) => board.get("/", { headers: { "x-case": name } });

  assertEquals((await ask("true")).status, 200);
  assertStringIncludes(await (await ask("viewer")).text(), "ana@shop.example");
  assertEquals((await ask("false")).status, 403);
  for (const name of ["nothing", "text", "nameless", "unnamed"]) assertEquals((await ask(name)).status, 403, name);
  assertEquals((await ask("row")).status, 500);
  assertEquals((await ask("foreign")).status, 401);
  const response = await ask("response");
  assertEquals([response.status, ...Array.from(response.headers, String)], [
    401,
    "cache-control,private",
    "content-type,text/plain;charset=UTF-8",
    "set-cookie,a=1",
    "www-authenticate,Basic",
  ], "it is sent as it is");
});

Deno.test("a dashboard whose authorize() throws shows nothing, and emits dashboard.error", async () => {
  await using board = await testDashboard({
    authorize: () => {
      throw new Error("no session store at 10.0.0.7");
    },
  });
  const errors: unknown[] = [];
  board.test.ff.on("dashboard.error", ({ error }) => errors.push(error));

  const response = await board.get("/");

  assertEquals(response.status, 500);
  assertNotMatch(await response.text(), /10\.0\.0\.7|authorize|\.ts/);
  assertEquals(errors.map(String), ["Error: no session store at 10.0.0.7"]);
});

for (
  const [how, options] of Object.entries({
    "readOnly": { readOnly: true },
    "a viewer of authorize()": { authorize: () => ({ user: "ana", readOnly: true }) },
    "readOnly, whatever authorize() says": { readOnly: true, authorize: () => ({ readOnly: false }) },
  })
) {
  Deno.test(`a dashboard that is read-only by ${how} refuses every POST before it reads its body`, async () => {
    await using board = await testDashboard(options);
    let read = 0;
    const body = () =>
      new ReadableStream({ pull: (stream) => (read++, stream.enqueue(new Uint8Array(10))) }, { highWaterMark: 0 });

    const statuses = await statusesOf(PATHS, (path) => board.post(path, {}, { body: body() }));

    assertEquals([statuses, read], [PATHS.map(() => 403), 0]);
    const page = await (await board.get("/")).text();
    assertStringIncludes(page, "Read only");
    assertNotMatch(page, /<form method="post"/);
  });
}

const FORGERIES: Record<string, Record<string, string>> = {
  "from another site": { "sec-fetch-site": "cross-site", origin: "https://evil.example" },
  "from another site with our Origin": { "sec-fetch-site": "cross-site", origin: ORIGIN },
  "from a neighbor of the same site": { "sec-fetch-site": "same-site", origin: "http://evil.localhost:8000" },
  "from no site": { "sec-fetch-site": "none" },
  "from another origin, by an old browser": { origin: "https://evil.example" },
  "from another port, by an old browser": { origin: "http://localhost:9000" },
  "from a document without an origin": { origin: "null" },
  "without a trace of where it is from": {},
};

Deno.test("a form from elsewhere is refused, whatever its type", async () => {
  await using board = await testDashboard();
  const types = [
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "text/plain",
    "application/json",
  ];
  for (const [what, headers] of Object.entries(FORGERIES)) {
    for (const type of types) {
      const init = { method: "POST", body: "id=1", headers: { ...headers, "content-type": type } };
      const response = await board.fetch(new Request(`${ORIGIN}/tasks/retry`, init));
      assertEquals(
        [response.status, /comes from elsewhere/.test(await response.text())],
        [403, true],
        `${what}, ${type}`,
      );
    }
  }
});

Deno.test("a form of the dashboard passes, by Sec-Fetch-Site or by Origin, also behind a proxy that ends TLS", async () => {
  await using board = await testDashboard();
  for (
    const headers of [
      { "sec-fetch-site": "same-origin" },
      { origin: ORIGIN },
      { origin: "https://localhost:8000", host: "localhost:8000" },
    ]
  ) {
    const response = await board.fetch(new Request(`${ORIGIN}/nothing`, { method: "POST", headers }));
    await response.body?.cancel();
    assertEquals(response.status, 404);
  }
});

const HOSTS: [options: object, host: string, allowed: boolean][] = [
  [{ open: true }, "localhost:8000", true],
  [{ open: true }, "app.localhost", true],
  [{ open: true }, "127.0.0.1:8000", true],
  [{ open: true }, "[::1]:8000", true],
  [{ open: true }, "192.168.0.7:8000", true],
  [{ open: true }, "evil.example", false],
  [{ open: true }, "localhost.evil.example", false],
  [{ open: true }, "127.0.0.1.evil.example", false],
  [{ open: true }, "evil.example:80@localhost", false],
  [{ open: true, hosts: ["ops.example"] }, "OPS.example:443", true],
  [{ open: true, hosts: ["ops.example"] }, "evil.example", false],
  [{ authorize: () => true }, "ops.example", true],
  [{ authorize: () => true, hosts: ["ops.example"] }, "evil.example", false],
];

Deno.test("a dashboard refuses hosts that it does not know, on every path", async () => {
  for (const [options, host, allowed] of HOSTS) {
    await using board = await testDashboard(options);
    const statuses = await statusesOf(PATHS, (path) => board.get(path, { headers: { host } }));
    assertEquals(statuses.every((status) => status === 403), !allowed, `${JSON.stringify(options)} ${host}`);
  }
});

Deno.test("every answer has the headers that protect it, and only assets may be kept", async () => {
  await using board = await testDashboard();
  const page = await board.get("/");
  const [asset] = /\/assets\/[^"]+\.js/.exec(await page.text())!;

  for (const response of [page, await board.get(asset), await board.get("/nothing"), await board.post("/nothing")]) {
    const { headers } = response;
    const policy = headers.get("content-security-policy")!;
    assertEquals(
      policy,
      "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    );
    assertEquals([headers.get("x-content-type-options"), headers.get("referrer-policy")], ["nosniff", "same-origin"]);
    const isAsset = response.url === asset || headers.get("content-type")?.startsWith("text/javascript");
    assertEquals(headers.get("cache-control"), isAsset ? "public, max-age=31536000, immutable" : "no-store");
    await response.body?.cancel().catch(() => {});
  }
});

Deno.test("no page has a style attribute, a script of its own or a handler in an attribute", async () => {
  await using board = await testDashboard();
  for (const { path, text } of await crawl(board)) {
    assertNotMatch(text, /<[a-z]+ [^>]*\bstyle=|<style|<script(?! src="\/assets\/)|<[a-z]+ [^>]*\bon[a-z]+="/, path);
  }
});

Deno.test("a form is read up to its longest, whatever length it declares", async () => {
  const type = "application/x-www-form-urlencoded";
  const ask = (body: BodyInit, headers: Record<string, string>) =>
    readForm(new Request(ORIGIN, { method: "POST", body, headers }));
  let pulled = 0;
  const endless = new ReadableStream({
    pull: (stream) => (pulled++, stream.enqueue(new Uint8Array(100_000).fill(97))),
  });

  assertEquals(String(await ask("a=1&b=%C5%BC", { "content-type": `${type};charset=UTF-8` })), "a=1&b=%C5%BC");
  assertMatch(JSON.stringify(await ask(endless, { "content-type": type })), /"status":413/);
  assert(pulled < 20, `${pulled} parts were read`);
  assertMatch(JSON.stringify(await ask("a=1", { "content-type": type, "content-length": "2000000" })), /413/);
  assertMatch(JSON.stringify(await ask("{}", { "content-type": "application/json" })), /"status":415/);
  assertMatch(JSON.stringify(await ask(new FormData(), {})), /"status":415/);
});

Deno.test("a method that a path does not have is 405, a path that is not there 404", async () => {
  await using board = await testDashboard();
  const cases: [method: string, path: string, status: number, allow: string | null][] = [
    ["GET", "/nothing", 404, null],
    ["GET", "/%E0%A4%A", 404, null],
    ["PUT", "/", 405, "GET, HEAD"],
    ["OPTIONS", "/", 405, "GET, HEAD"],
    ["PUT", "/pulse", 404, null],
    ["HEAD", "/", 200, null],
  ];
  for (const [method, path, status, allow] of cases) {
    const response = await board.get(path, { method });
    assertEquals([response.status, response.headers.get("allow")], [status, allow], `${method} ${path}`);
    const text = await response.text();
    assertEquals(text === "", method === "HEAD");
    assertEquals(response.headers.get("access-control-allow-origin"), null);
  }
  const post = await board.post("/");
  assertEquals([post.status, post.headers.get("allow")], [405, "GET, HEAD"]);
  await post.body?.cancel();
});

const HOSTILE = `<img src=x onerror="alert(1)">'</script><script>alert(2)</script>`;

Deno.test("names, arguments, tags, results and errors are text on every page", async () => {
  await using board = await testDashboard({ title: HOSTILE });
  const { ff, db } = board.test;
  const returns = task(taskName(), (given: unknown) => ({ [HOSTILE]: given }));
  const fails = task({ name: taskName(), maxRetries: 0 }, (given: string): void => {
    throw Object.assign(new Error(`${HOSTILE} ${given}`), { name: HOSTILE });
  });
  await ff.run(async () => {
    await returns.with({ tags: [HOSTILE], unique: { key: HOSTILE } }).schedule({ [HOSTILE]: [HOSTILE] });
    await fails.with({ tags: [HOSTILE] }).schedule(HOSTILE);
  });
  await board.test.drain({ tasks: [returns, fails], release: HOSTILE });
  await db.sql`SELECT firefly.schedule(${HOSTILE}, ${db.sql.json([HOSTILE])}, tags => ${[HOSTILE]})`;
  await ff.pause("default", { reason: HOSTILE, by: HOSTILE });
  const search = `/tasks?q=${encodeURIComponent(HOSTILE)}`;

  const pages = await crawl(board, [
    "/tasks",
    "/tasks/1",
    "/tasks/2",
    "/tasks/3",
    search,
    "/queues/default",
    `/new?from=1`,
  ]);

  for (const { path, status, text } of pages) {
    assert(status < 500, `${path}: ${status}`);
    assertNotMatch(text, /<img src=x|<script>|onerror="alert/, path);
    assertStringIncludes(text, "&lt;img src=x onerror=&quot;alert(1)&quot;&gt;", path);
  }
});

const MARKER = "hunter2-marker";

Deno.test("pages hide what the instance's and their own redact hide", async () => {
  await using board = await testDashboard({ redact: ["iban"] });
  const { ff } = board.test;
  const leaks = task({ name: taskName(), maxRetries: 0 }, (given: object): object => ({ token: MARKER, given }));
  await ff.run(() => leaks.schedule({ password: MARKER, nested: [{ accessToken: MARKER, iban: MARKER }] }));
  await board.test.drain({ tasks: [leaks] });

  for (const { path, text } of await crawl(board, ["/tasks", "/tasks/1", "/new?from=1"])) {
    assertNotMatch(text, new RegExp(MARKER), path);
  }
});

Deno.test("pages show an encrypted value only if the instance can decrypt it", async () => {
  const key = btoa("k".repeat(32));
  await using board = await testDashboard({}, { encryption: { keys: { k1: key }, current: "k1" } } as object);
  const { ff, db } = board.test;
  const stores = task({ name: taskName(), maxRetries: 0 }, (given: string): string => given);
  await ff.run(() => stores.schedule(MARKER));
  await board.test.drain({ tasks: [stores] });
  await using blind = new Firefly({ database: db.url });
  const other = dashboard({ firefly: blind, open: true });
  const asBlind = { ...board, get: (path: string) => other.fetch(new Request(`${ORIGIN}${path}`)) };

  for (const { path, status, text } of await crawl(asBlind, ["/tasks", "/tasks/1", "/new?from=1"])) {
    assert(status < 500, `${path}: ${status}`);
    assertNotMatch(text, new RegExp(MARKER), path);
  }
});

Deno.test("a role that may only view is enough for pages, and reads in read-only transactions of 5 s", async () => {
  await using roles = await rolesDatabase();
  await using ff = new Firefly({ database: roles.urlOf("viewer"), schema: roles.schema });
  const board = dashboard({ firefly: ff, open: true });
  const ask = { get: (path: string) => board.fetch(new Request(`${ORIGIN}${path}`)) };

  for (const { path, status, text } of await crawl(ask as never)) {
    assertEquals(status, 200, path);
    assertNotMatch(text, /does not allow that/, path);
  }
  const { database } = await ff.connect();
  const [row] = await database.pages`
    SELECT current_setting('transaction_read_only') AS is_read_only, current_setting('statement_timeout') AS timeout,
      current_setting('application_name') AS application
  `;
  assertEquals(row, { is_read_only: "on", timeout: "5s", application: "firefly dashboard" });
});

Deno.test("an error of the database is a page without a stack, and the dashboard goes on", async () => {
  await using board = await testDashboard();
  const { db } = board.test;
  assertEquals((await board.get("/")).status, 200);
  await db.sql`ALTER TABLE firefly.migration RENAME TO gone`;

  const response = await board.get("/");
  const text = await response.text();

  assertEquals(response.status, 503);
  assertMatch(text, /migrate/);
  assertNotMatch(text, /\.ts:\d+|at async/);
  await db.sql`ALTER TABLE firefly.gone RENAME TO migration`;
  assertEquals((await board.get("/")).status, 200);
});

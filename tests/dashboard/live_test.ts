import { assert, assertEquals, assertMatch, assertNotEquals, assertStringIncludes } from "@std/assert";
import { Live } from "../../src/dashboard/live.ts";
import { testDashboard } from "../support/dashboard.ts";
import { testInstance } from "../support/instance.ts";
import { deadline, until } from "../support/waiting.ts";

/** Reads the events of a stream: each with its name and data. */
async function* eventsOf(response: Response): AsyncGenerator<{ event: string; data: string }> {
  let rest = "";
  for await (const text of response.body!.pipeThrough(new TextDecoderStream())) {
    const parts = (rest + text).split("\n\n");
    rest = parts.pop()!;
    for (const part of parts) {
      const event = /^event: (.*)$/m.exec(part)?.[1];
      if (event !== undefined) yield { event, data: /^data: ?(.*)$/m.exec(part)![1]! };
    }
  }
}

async function next(events: AsyncGenerator<{ event: string; data: string }>): Promise<{ event: string; data: string }> {
  const { value, done } = await deadline(events.next(), () => "no event came");
  assert(!done, "the stream ended");
  return value;
}

Deno.test("GET /pulse sends events, whose change is another one after a write", async () => {
  await using board = await testDashboard();
  const response = await board.get("/pulse");
  const events = eventsOf(response);

  const first = await next(events);
  await board.test.db.sql`SELECT firefly.schedule('some.task')`;
  const second = await next(events);

  assertMatch(response.headers.get("content-type")!, /^text\/event-stream/);
  assertEquals([first.event, second.event], ["pulse", "pulse"]);
  assertNotEquals(JSON.parse(first.data).change, JSON.parse(second.data).change);
  assert(Date.parse(JSON.parse(first.data).now) <= Date.parse(JSON.parse(second.data).now));
  await events.return(undefined);
});

/** How many times the dashboard has read the pulse. */
function countReads(live: { ff: { connect(): Promise<{ database: object }> } }): { reads: number } {
  const counter = { reads: 0 };
  const { ff } = live;
  const connect = ff.connect.bind(ff);
  ff.connect = () => (counter.reads++, connect());
  return counter;
}

Deno.test("one poller serves all open pages, and stops when none is open", async () => {
  await using test = await testInstance();
  const counter = countReads(test as never);
  const live = new Live(test.ff);
  const ask = () => live.stream(new Request("http://localhost/pulse"));
  const streams = [ask(), ask(), ask()].map(eventsOf);

  await Promise.all(streams.map(next));
  await Promise.all(streams.map(next));
  assertEquals([live.streams, counter.reads], [3, 2]);
  await Promise.all(streams.map((stream) => stream.return(undefined)));
  await until(() => live.streams === 0);
  const { reads } = counter;
  const again = eventsOf(ask());
  await next(again);

  assertEquals(counter.reads, reads + 1, "it read while no page was open");
  await again.return(undefined);
  live.close();
});

Deno.test("close() ends all streams, and answers no other", async () => {
  await using board = await testDashboard();
  const events = eventsOf(await board.get("/pulse"));
  await next(events);

  board.close();

  assertEquals((await deadline(events.next(), () => "the stream goes on")).done, true);
  const late = await board.get("/pulse");
  assertEquals(late.status, 503);
  await late.body?.cancel();
});

Deno.test("a server whose reader is gone ends its stream", async () => {
  await using test = await testInstance();
  const live = new Live(test.ff);
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => live.stream(request));
  const controller = new AbortController();
  const events = eventsOf(await fetch(`http://127.0.0.1:${server.addr.port}`, { signal: controller.signal }));
  await next(events);

  controller.abort();

  await until(() => live.streams === 0);
  await events.return(undefined).catch(() => {});
  await server.shutdown();
});

Deno.test("a stream tells that the database does not answer, and that it answers again", async () => {
  await using board = await testDashboard();
  const { db, ff } = board.test;
  const errors: string[] = [];
  ff.on("dashboard.error", ({ path }) => errors.push(path));
  const events = eventsOf(await board.get("/pulse"));
  assertEquals((await next(events)).event, "pulse");

  await db.sql`ALTER TABLE firefly.migration RENAME TO gone`;
  while ((await next(events)).event !== "away");
  assertEquals((await next(events)).event, "away");
  await db.sql`ALTER TABLE firefly.gone RENAME TO migration`;
  while ((await next(events)).event !== "pulse");

  assertEquals(errors, ["/pulse"], "an outage is reported once");
  await events.return(undefined);
});

Deno.test("a page is not sent again while its content is the same, however old it is", async () => {
  await using board = await testDashboard();
  const { db } = board.test;
  const first = await board.get("/");
  const etag = first.headers.get("etag")!;
  await first.body?.cancel();
  const ask = () => board.get("/", { headers: { "if-none-match": etag } });

  assertEquals([(await ask()).status, (await ask()).headers.get("etag")], [304, etag]);
  await db.sql`
    INSERT INTO firefly.failed_task (task_id, failed, queue, func_name, fingerprint) VALUES (1, now(), 'default', 'a', 1)
  `;

  const changed = await ask();
  assertEquals(changed.status, 200);
  assertStringIncludes(await changed.text(), `title="Failed in the last hour">1</span>`);
});

Deno.test("live: false has no stream, and pages without one", async () => {
  await using board = await testDashboard({ live: false });
  const response = await board.get("/pulse");
  await response.body?.cancel();

  assertEquals(response.status, 404);
  assert(!/data-live>|live\.js|id="live"/.test(await (await board.get("/")).text()));
});

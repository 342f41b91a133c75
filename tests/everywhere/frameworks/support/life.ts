/**
 * What every example promises, over HTTP: it schedules, it shows results, it refuses what is wrong with 4xx, it shows the
 * dashboard to those who may see it, and it stops.
 *
 * @module
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import postgres from "postgres";
import { check } from "../../check.ts";
import { type Running, start, startConsumer, within } from "./server.ts";

/** An example. */
export interface Example {
  readonly command: readonly string[];
  /** Where it runs. @default the folder of the examples */
  readonly cwd?: string;
  /** Where the command line finds its tasks. @default the same */
  readonly tasks?: string;
  /** Variables of its environment, beside those that all examples read. */
  readonly env?: Record<string, string>;
  /** The status of a body that is no JSON: that of the framework's parser, or that of a body without fields. */
  readonly malformed: 400 | 422;
  /** What the names of its checks begin with, where a program checks several. */
  readonly label?: string;
  /** The longest that it may take from SIGTERM to its end when it is idle, in milliseconds. @default 200 */
  readonly exitWithin?: number;
}

const PASSWORD = "correct horse";
const LOGIN = { authorization: `Basic ${btoa(`ana:${PASSWORD}`)}` };
/** How often to start an example to measure its end: another program may have the processor in one of them. */
const TRIES = 5;

/** A server that listens. */
interface Server {
  readonly url: string;
  readonly running: Running;
}

/** Starts an example, and kills it after `use`, unless it has ended. */
async function serve<T>(
  { command, cwd, env }: Example,
  more: Record<string, string>,
  use: (server: Server) => Promise<T>,
): Promise<T> {
  const running = start(command, {
    ...cwd && { cwd },
    env: { PORT: "0", DASHBOARD_PASSWORD: PASSWORD, ...env, ...more },
  });
  try {
    const [, port] = await running.printed(/(?:Listening on|Local:).*?:\/\/[^\s/]+:(\d+)/);
    return await use({ url: `http://localhost:${port}`, running });
  } finally {
    await running.dispose();
  }
}

/** The status, the headers and the text of a response. */
interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

async function request(url: string, init: RequestInit = {}): Promise<Answer> {
  const response = await within(fetch(url, { redirect: "manual", ...init }), () => `No response from ${url}`);
  return { status: response.status, headers: response.headers, text: await response.text() };
}

const post = (url: string, body: string): Promise<Answer> =>
  request(url, { method: "POST", headers: { "content-type": "application/json" }, body });

/** Schedules a sum, and returns the URL of its result. */
async function schedule({ url }: Server, sum: object): Promise<string> {
  const { status, headers, text } = await post(`${url}/sums`, JSON.stringify(sum));
  const location = headers.get("location");
  assert.deepEqual([status, location], [202, `/sums/${JSON.parse(text).id}`], text);
  return url + location;
}

/** Reads a result until there is one. */
async function resultOf(location: string): Promise<Answer> {
  const read = async (): Promise<Answer> => {
    for (;; await sleep(20)) {
      const answer = await request(location);
      if (answer.status !== 202) return answer;
    }
  };
  return await within(read(), () => `${location} stays without a result`);
}

/** Checks an example from its start to its end. */
export async function checkLife(example: Example): Promise<void> {
  const { label = "" } = example;
  const sql = postgres(process.env.FIREFLY_DATABASE_URL!, { max: 1, onnotice() {} });
  const statusOf = async (location: string) => {
    const [row] = await sql`select status from firefly.task where id = ${location.replace(/.*\//, "")}`;
    return row?.status;
  };
  await serve(example, {}, async (server) => {
    await check(`${label}a request schedules, with 202 and a Location, whose result comes with 200`, async () => {
      const location = await schedule(server, { i: 9007199254740991, j: 9007199254740990, seconds: 0.5 });
      const pending = await request(location);
      const id = Number(location.replace(/.*\//, ""));
      assert.equal(pending.status, 202);
      assert.equal(JSON.parse(pending.text).id, id);
      assert.match(JSON.parse(pending.text).status, /^(created|running)$/);
      const { status, headers, text } = await resultOf(location);
      assert.equal(status, 200);
      assert.match(headers.get("content-type")!, /^application\/json\b/);
      // More digits than a number has: the parsed value would not tell.
      assert.equal(text, `{"id":${id},"status":"completed","returned":18014398509481981}`);
    });

    await check(`${label}an id that no task of this name has is 404`, async () => {
      const [row] = await sql`select firefly.schedule('secret.task', queue => 'secret') as id`;
      for (const id of [row!.id, 1_000_000_000]) {
        const { status, text } = await request(`${server.url}/sums/${id}`);
        assert.equal(status, 404, text);
        assert.match(JSON.parse(text).error, /^Cannot find task \d+/);
        assert.ok(!text.includes("secret"), text);
      }
    });

    await check(`${label}an id that is none is 422`, async () => {
      for (const id of ["abc", "1.5", "-1", "0", "1e3", "%20", "9007199254740993", "9".repeat(90), "%F0%9F%98%80"]) {
        const { status, text } = await request(`${server.url}/sums/${id}`);
        assert.equal(status, 422, `${id}: ${text}`);
        assert.match(JSON.parse(text).error, /must be a positive integer/);
      }
    });

    await check(`${label}a body that is wrong is 422, and schedules nothing`, async () => {
      const [{ count }] = await sql`select count(*) from firefly.task` as unknown as [{ count: string }];
      const wrong = [
        "{}",
        "null",
        "[]",
        "7",
        '"i"',
        '{"i":1}',
        '{"i":"1","j":2}',
        '{"i":1,"j":2.5}',
        '{"i":1e999,"j":2}',
      ];
      const more = ['{"i":1,"j":2,"seconds":-1}', '{"i":1,"j":2,"seconds":"1"}', '{"i":{"$":1},"j":[]}'];
      for (const body of [...wrong, ...more]) {
        const { status, text } = await post(`${server.url}/sums`, body);
        const isOther = status === example.malformed && !/^[{[]/.test(body); // a parser may want an object or a list
        assert.ok(status === 422 || isOther, `${body}: ${status} ${text}`);
        assert.equal(typeof JSON.parse(text).error, "string");
      }
      for (const body of ["{", "", '{"i":1,', "i=1&j=2", "\0"]) {
        const { status, text } = await post(`${server.url}/sums`, body);
        assert.ok(status === example.malformed || status === 422, `${JSON.stringify(body)}: ${status} ${text}`);
        assert.equal(typeof JSON.parse(text).error, "string");
      }
      assert.equal((await post(`${server.url}/sums`, "{")).status, example.malformed);
      assert.deepEqual(await sql`select count(*) from firefly.task`.then(([row]) => row!.count), count);
    });

    await check(`${label}the dashboard is for those who log in, and takes forms from its own pages alone`, async () => {
      const board = `${server.url}/firefly`;
      for (const path of ["", "/", "/tasks", "/queues/none"]) {
        assert.equal((await request(board + path)).status, 401, path);
      }
      const wrong = { authorization: `Basic ${btoa("ana:wrong")}` };
      assert.equal((await request(`${board}/`, { headers: wrong })).status, 401);
      const page = await request(`${board}/`, { headers: LOGIN });
      assert.equal(page.status, 200);
      assert.match(page.text, /<h1/);
      const [asset] = /\/firefly\/assets\/[^"]+\.css/.exec(page.text)!;
      assert.match((await request(server.url + asset)).text, /:root/);
      const form = { method: "POST", body: new URLSearchParams({ name: "default" }) };
      const pause = (headers: Record<string, string>) => request(`${board}/queues/pause`, { ...form, headers });
      assert.equal((await pause({ ...LOGIN, origin: "https://evil.example" })).status, 403);
      assert.equal((await pause({ origin: server.url })).status, 401);
      assert.equal((await pause({ ...LOGIN, origin: server.url })).status, 303);
      const [row] = await sql`select paused_by from firefly.queue where name = 'default'`;
      assert.equal(row!.paused_by, "ana");
      const resumed = await request(`${board}/queues/resume`, { ...form, headers: { ...LOGIN, origin: server.url } });
      assert.equal(resumed.status, 303);
    });

    await check(`${label}SIGTERM lets a running task complete, and ends with 0`, async () => {
      const location = await schedule(server, { i: 1, j: 2, seconds: 1 });
      await within(
        (async () => {
          while (JSON.parse((await request(location)).text).status !== "running") await sleep(10);
        })(),
        () => "the task does not start",
      );
      const { code, signal } = await server.running.end("SIGTERM");
      assert.deepEqual([code, signal, await statusOf(location)], [0, null, "completed"], server.running.output());
    });
  });

  await check(`${label}SIGTERM ends it at once when it is idle, whatever a browser leaves open`, async () => {
    const { exitWithin = process.env.CI ? 500 : 200 } = example; // a machine of CI may be slow
    const times: number[] = [];
    while (times.length < TRIES && !times.some((ms) => ms <= exitWithin)) times.push(await measureExit(example));
    process.stdout.write(`idle with a consumer: exit ${times.map(Math.round).join(", ")} ms after SIGTERM\n`);
    assert.ok(Math.min(...times) <= exitWithin, `${times.map(Math.round)} ms`);
  });

  await check(`${label}a consumer of the command line runs what a server without one schedules`, async () => {
    await serve(example, { CONSUMER: "outside" }, async (server) => {
      const location = await schedule(server, { i: 20, j: 22 });
      await sleep(200);
      assert.equal((await request(location)).status, 202);
      const consumer = await startConsumer(example.tasks ?? example.cwd);
      try {
        assert.equal(JSON.parse((await resultOf(location)).text).returned, 42);
        const { code, ms } = await server.running.end("SIGTERM");
        process.stdout.write(`consumer outside: exit ${Math.round(ms)} ms after SIGTERM\n`);
        assert.equal(code, 0, server.running.output());
        assert.equal((await consumer.end("SIGTERM")).code, 0, consumer.output());
      } finally {
        await consumer.dispose();
      }
    });
  });
  await sql.end();
}

/**
 * The milliseconds from SIGTERM to the end of an idle server, of which a page of the dashboard is open, and connections
 * that were used, or never.
 */
async function measureExit(example: Example): Promise<number> {
  return await serve(example, {}, async (server) => {
    await resultOf(await schedule(server, { i: 1, j: 2 }));
    const spare = connect(Number(new URL(server.url).port), "localhost").on("error", () => {});
    await once(spare, "connect");
    const page = new AbortController();
    const events = await fetch(`${server.url}/firefly/pulse`, { headers: LOGIN, signal: page.signal });
    assert.equal(events.status, 200);
    const reader = events.body!.getReader();
    await reader.read();
    await sleep(300); // so that its connections are idle
    const { code, signal, ms } = await server.running.end("SIGTERM");
    assert.deepEqual([code, signal], [0, null], server.running.output());
    page.abort();
    spare.destroy();
    await reader.read().catch(() => {});
    return ms;
  });
}

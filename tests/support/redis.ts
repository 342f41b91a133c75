import { Redis } from "ioredis";
import { until } from "./waiting.ts";

const PATHS = ["/usr/bin/redis-server", "/usr/local/bin/redis-server", "/opt/homebrew/bin/redis-server"];

const program = PATHS.find((path) => {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
});

/** Whether this machine has Redis. */
export const HAS_REDIS = program !== undefined;

/** How a test with Redis is declared. A person's machine may have none, but CI leaves out no test. */
export const WITH_REDIS: Pick<Deno.TestDefinition, "ignore" | "sanitizeOps" | "sanitizeResources"> = {
  ignore: !HAS_REDIS && !Deno.env.has("CI"),
  // BullMQ leaves timers and sockets of its connections for a moment after it closed them.
  sanitizeOps: false,
  sanitizeResources: false,
};

/** A Redis of a test's own. */
export interface TestRedis extends AsyncDisposable {
  readonly url: string;
  /** A connection to it. */
  readonly client: Redis;
}

/** Starts a Redis that keeps nothing on disk. */
export async function testRedis(): Promise<TestRedis> {
  if (program === undefined) throw new Error("Cannot start Redis as no redis-server is installed");
  const port = freePort();
  const args = ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
  const server = new Deno.Command(program, { args, stdin: "null", stdout: "null", stderr: "null" }).spawn();
  const url = `redis://127.0.0.1:${port}`;
  const client = new Redis(url, { lazyConnect: true, retryStrategy: () => 20, maxRetriesPerRequest: null });
  client.on("error", () => {}); // until it listens
  client.connect().catch(() => {});
  await until(async () => await client.ping() === "PONG");
  return {
    url,
    client,
    async [Symbol.asyncDispose]() {
      client.disconnect();
      server.kill("SIGKILL");
      await server.status;
    },
  };
}

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return (listener.addr as Deno.NetAddr).port;
}

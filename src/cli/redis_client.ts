import { createRequire } from "node:module";
import { join } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { FireflyError } from "../errors.ts";
import type { RedisConnection } from "../import/redis.ts";
import { partsOf } from "../thrown.ts";
import { DiscoveryError } from "./user_code.ts";

/** A connection to Redis, and how to close it. */
export interface OpenRedis {
  readonly connection: RedisConnection;
  close(): void;
}

/** The parts of ioredis that are used here. */
interface IORedis {
  new (url: string, options: object): {
    on(event: "error", listener: (error: Error) => void): unknown;
    connect(): Promise<void>;
    call(command: string, ...args: string[]): Promise<unknown>;
    disconnect(): void;
  };
}

/** The parts of node-redis that are used here. */
interface NodeRedis {
  createClient(options: object): {
    on(event: "error", listener: (error: Error) => void): unknown;
    connect(): Promise<unknown>;
    sendCommand(command: string[]): Promise<unknown>;
    destroy?(): void;
    disconnect?(): Promise<void>;
  };
}

/**
 * Connects to Redis with a client of the user's project: ioredis, which BullMQ uses or brings, else node-redis.
 *
 * @throws {DiscoveryError} If the project has neither.
 * @throws {FireflyError} If Redis cannot be reached.
 */
export async function connectRedis(url: string): Promise<OpenRedis> {
  const ioredis = await importOf("ioredis", "bullmq") as { default: IORedis; Redis?: IORedis } | undefined;
  if (ioredis) {
    const client = new (ioredis.Redis ?? ioredis.default)(url, { lazyConnect: true, retryStrategy: () => null });
    await connected(client, url);
    return { connection: client, close: () => client.disconnect() };
  }
  const redis = await importOf("redis") as NodeRedis | undefined;
  if (redis) {
    const client = redis.createClient({ url, socket: { reconnectStrategy: false } });
    await connected(client, url);
    return {
      connection: client,
      close: () => client.destroy ? client.destroy() : void client.disconnect?.().catch(() => {}),
    };
  }
  throw new DiscoveryError(
    `Cannot import from BullMQ as there is no client of Redis in ${process.cwd()}: ` +
      "run it in the project that uses BullMQ, or install ioredis there",
  );
}

async function connected(
  client: { on(event: "error", listener: (error: Error) => void): unknown; connect(): Promise<unknown> },
  url: string,
): Promise<void> {
  let first: Error | undefined;
  client.on("error", (error) => first ??= error);
  try {
    await client.connect();
  } catch (error) {
    const { protocol, hostname, port } = new URL(url); // without its password
    const where = `${protocol}//${hostname}:${port || "6379"}`;
    // ioredis rejects with "Connection is closed.", and has told why before.
    throw new FireflyError(`Cannot reach Redis at ${where}: ${partsOf(first ?? error).message}`, { cause: error });
  }
}

/** Imports a package of the project, or the one that another package of the project brings along. */
async function importOf(name: string, by?: string): Promise<unknown> {
  const project = createRequire(join(process.cwd(), "package.json"));
  const owners = [() => project, ...(by === undefined ? [] : [() => createRequire(project.resolve(by))])];
  for (const owner of owners) {
    let path: string;
    try {
      path = owner().resolve(name);
    } catch {
      continue; // it is not there
    }
    return await import(pathToFileURL(path).href);
  }
  // Deno finds a package without node_modules by the import map of the project.
  return await import(name).catch(() => undefined);
}

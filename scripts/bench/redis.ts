/** What a Redis says of itself. */
export interface RedisFacts {
  readonly version: string;
  readonly appendonly: string;
  readonly save: string;
}

/** The database of the Redis that BullMQ is given. */
export const REDIS_DATABASE = 9;

/** Asks the Redis at 127.0.0.1:6379; undefined if none answers. */
export async function askRedis(): Promise<RedisFacts | undefined> {
  const text = await send(["INFO server", "CONFIG GET appendonly", "CONFIG GET save"]).catch(() => "");
  const version = /^redis_version:(\S+)/m.exec(text)?.[1];
  const read = (name: string) => new RegExp(`\\r\\n${name}\\r\\n\\$\\d+\\r\\n(.*)\\r\\n`).exec(text)?.[1] ?? "unknown";
  return version === undefined ? undefined : { version, appendonly: read("appendonly"), save: read("save") };
}

/** Removes what BullMQ has left there. */
export async function emptyRedis(): Promise<void> {
  await send([`SELECT ${REDIS_DATABASE}`, "FLUSHDB"]);
}

/** Sends commands; resolves to all of the answers as they came. */
async function send(commands: readonly string[]): Promise<string> {
  using connection = await Deno.connect({ hostname: "127.0.0.1", port: 6379 });
  await connection.write(new TextEncoder().encode([...commands, "QUIT"].map((command) => `${command}\r\n`).join("")));
  // The last one closes the connection.
  return await Array.fromAsync(connection.readable.pipeThrough(new TextDecoderStream())).then((parts) =>
    parts.join("")
  );
}

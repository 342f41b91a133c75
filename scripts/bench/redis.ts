/** What a Redis says of itself. */
export interface RedisFacts {
  readonly version: string;
  readonly appendonly: string;
  readonly save: string;
}

/** Asks the Redis at 127.0.0.1:6379; undefined if none answers. */
export async function askRedis(): Promise<RedisFacts | undefined> {
  let connection: Deno.TcpConn;
  try {
    connection = await Deno.connect({ hostname: "127.0.0.1", port: 6379 });
  } catch {
    return undefined;
  }
  try {
    const commands = ["INFO server", "CONFIG GET appendonly", "CONFIG GET save", "QUIT"];
    await connection.write(new TextEncoder().encode(commands.map((command) => `${command}\r\n`).join("")));
    const text = await new Response(connection.readable).text(); // it closes the connection
    const version = /^redis_version:(\S+)/m.exec(text)?.[1];
    const read = (name: string) =>
      new RegExp(`\\r\\n${name}\\r\\n\\$\\d+\\r\\n(.*)\\r\\n`).exec(text)?.[1] ?? "unknown";
    return version === undefined ? undefined : { version, appendonly: read("appendonly"), save: read("save") };
  } catch {
    return undefined;
  }
}

/**
 * A connection to Redis: one of ioredis (`call`), of node-redis (`sendCommand`), or Bun's (`send`). Any client fits that
 * has one of these methods.
 */
export type RedisConnection =
  | {
    /** Sends a command, as ioredis does. */
    call(command: string, ...args: string[]): Promise<unknown>;
  }
  | {
    /** Sends a command, as node-redis does. */
    sendCommand(command: string[]): Promise<unknown>;
  }
  | {
    /** Sends a command, as Bun's client does. */
    send(command: string, args: string[]): Promise<unknown>;
  };

/** Sends a command and resolves to its answer. */
export type SendCommand = (command: string, ...args: string[]) => Promise<unknown>;

/**
 * Makes one function of a client of whatever library.
 *
 * @throws {TypeError} If it is no client of a known library.
 */
export function commandsOf(connection: RedisConnection, action: string): SendCommand {
  const client: unknown = connection;
  if (typeof client === "object" && client !== null) {
    // ioredis has a sendCommand() as well, which takes something else.
    if ("call" in client) return (command, ...args) => (client as { call: SendCommand }).call(command, ...args);
    if ("sendCommand" in client) {
      return (...command) => (client as { sendCommand(command: string[]): Promise<unknown> }).sendCommand(command);
    }
    if ("send" in client) {
      return (command, ...args) => (client as { send(c: string, a: string[]): Promise<unknown> }).send(command, args);
    }
  }
  throw new TypeError(
    `Cannot ${action} as "connection" is no client of Redis: pass one of ioredis, of node-redis or of Bun`,
  );
}

/** Lists the queues that BullMQ has under a prefix, by their names. */
export async function findQueues(send: SendCommand, prefix: string): Promise<string[]> {
  const [start, end] = [`${prefix}:`, ":meta"];
  const pattern = `${start.replaceAll(/[*?[\]\\]/g, "\\$&")}*${end}`;
  const names = new Set<string>();
  let cursor = "0";
  do {
    const answer = await send("SCAN", cursor, "MATCH", pattern, "COUNT", "1000") as [string, string[]];
    cursor = String(answer[0]);
    for (const key of answer[1]) names.add(key.slice(start.length, -end.length));
  } while (cursor !== "0");
  return [...names].sort();
}

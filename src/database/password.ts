import { connect, type Socket } from "node:net";
import { withDeadline } from "./deadline.ts";
import type { Target } from "./settings.ts";

/** Milliseconds that a function may take to fetch a password. */
const TIMEOUT = 10_000;

/** A connection could not be opened, or its password not be fetched; `cause` is what was thrown. */
export class OpenError extends Error {
  override name = "OpenError";
  /** Marks it as one of a lost connection: the driver would keep a client whose socket was not opened waiting for ever. */
  readonly code = "CONNECTION_NOT_OPENED";
}

/** Makes the error that keeps the driver from opening a connection whose client was discarded. */
export function noLongerNeeded(): OpenError {
  return new OpenError("the connection is no longer needed");
}

/** Options of the driver for a password that is fetched. */
interface FetchedPassword {
  host: [string | undefined];
  port: [number | undefined];
  pass(): string;
  /** Fetches the password, then opens a socket. */
  socket(): Promise<Socket>;
}

/**
 * Options of the driver with which it calls `fetch` before it opens a connection. It would call a function itself while it
 * authenticates, and an unhandled rejection would end the process.
 *
 * @param abandoned Aborts when the client is discarded, which does not stop the driver from opening its connection.
 */
export function withFetchedPassword(target: Target, fetch: () => unknown, abandoned: AbortSignal): FetchedPassword {
  const { hosts, ports, path } = target;
  let password = "";
  let next = 0;
  return {
    // The first host only: if there were more, the driver would hold back the error of a connection.
    host: [hosts[0]],
    port: [ports[0]],
    pass: () => password,
    async socket(): Promise<Socket> {
      password = await fetchPassword(fetch);
      if (abandoned.aborted) throw noLongerNeeded();
      const index = next++ % hosts.length;
      const [host, port] = [hosts[index]!, ports[index]!];
      // The driver verifies a certificate against the name that it finds here.
      return Object.assign(await openSocket(path ? { path } : { host, port }), { host, port });
    },
  };
}

async function fetchPassword(fetch: () => unknown): Promise<string> {
  let password: unknown;
  try {
    password = await withDeadline((async () => await fetch())(), TIMEOUT);
  } catch (error) {
    throw new OpenError(`the function for its password failed: ${messageOf(error)}`, { cause: error });
  }
  if (typeof password === "string") return password;
  throw new OpenError(`the function for its password returned no text, but ${kindOf(password)}`);
}

/** Opens a socket, and resolves once it is connected. */
function openSocket(place: { path: string } | { host: string; port: number }): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(place);
    const fail = (error: Error) => reject(new OpenError(error.message, { cause: error }));
    socket.once("error", fail);
    socket.once("connect", () => {
      socket.off("error", fail);
      resolve(socket);
    });
  });
}

/** The message of what was thrown, which may be anything. */
function messageOf(thrown: unknown): string {
  try {
    return String((thrown as Error | undefined)?.message ?? thrown).split("\n")[0]!;
  } catch {
    return "it threw a value that cannot be read";
  }
}

function kindOf(value: unknown): string {
  return value === null ? "null" : `a value of type ${typeof value}`;
}

import { type Client, makeTag, openClient, setIdle, type Tag, unreachableError } from "../database/driver.ts";
import { isConnectionError } from "../database/error_codes.ts";
import type { ConnectionSettings } from "../database/settings.ts";

/** How many seconds the end of the connection may take. */
const END_TIMEOUT = 2;

/**
 * A connection that makes and drops databases. It stays open as long as its databases are needed, since they belong to
 * it: another login would take as long as making a database. A process that has forgotten it can end nevertheless.
 */
export class AdminConnection {
  /** The tag of its statements. */
  readonly sql: Tag;
  readonly #client: Client;

  constructor(settings: ConnectionSettings) {
    // Making and dropping databases waits for the disk all the same.
    const connection = { synchronous_commit: "off" };
    const client = this.#client = openClient(settings, { idle_timeout: 0, max_lifetime: null, connection });
    this.sql = makeTag(async (build) => {
      try {
        return await build(client) as never;
      } catch (error) {
        throw isConnectionError(error) ? unreachableError(settings, error) : error;
      }
    }, "firefly");
  }

  /** Lets the process end while the connection is open, as long as `isIdle`. */
  setIdle(isIdle: boolean): void {
    setIdle(this.#client, isIdle);
  }

  /** Closes the connection. */
  async end(): Promise<void> {
    this.setIdle(false);
    await this.#client.end({ timeout: END_TIMEOUT });
  }
}

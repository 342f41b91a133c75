import { withDeadline } from "../database/deadline.ts";
import type { Tag } from "../database/driver.ts";
import { codeOf } from "../database/error_codes.ts";
import { DatabaseUnreachable } from "../errors.ts";
import type { Firefly } from "../firefly/firefly.ts";
import { type Pulse, readPulse } from "../store/pulse.ts";

/** How many milliseconds a page waits until it says that the database does not answer. */
const DEADLINE = 6_000;

/** What every page begins with: the tag for its statements, and what surrounds it. */
export interface Connection {
  readonly sql: Tag;
  readonly pulse: Pulse;
}

/**
 * Connects, and reads what every page shows.
 *
 * @throws {DatabaseUnreachable} If the database does not answer within a few seconds.
 */
export async function openPage(firefly: Firefly): Promise<Connection> {
  async function open(): Promise<Connection> {
    const { database } = await firefly.connect();
    return { sql: database.pages, pulse: await readPulse(database.pages) };
  }
  const opened = open();
  opened.catch(() => {}); // it may fail after the deadline
  try {
    return await withDeadline(opened, DEADLINE);
  } catch (error) {
    if (codeOf(error) !== "DEADLINE") throw error;
    throw new DatabaseUnreachable(`Cannot reach the database: ${(error as Error).message}`, { cause: error });
  }
}

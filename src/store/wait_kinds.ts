import type { Tag } from "../database/driver.ts";

/**
 * What tasks wait for whose handlers were suspended, or that depend on others: `signal` and `call` may have an end in time,
 * too; `sleep` has nothing else, and is also the retry of a step.
 */
export const WAIT_KINDS = ["dependencies", "sleep", "signal", "call"] as const;

/** One of {@linkcode WAIT_KINDS}. */
export type WaitKind = typeof WAIT_KINDS[number];

/** How many tasks wait for each. */
export type Waits = Readonly<Partial<Record<WaitKind, number>>>;

/** The kind of a row of `waiting`; NULL for a task that waits for anything else, and for one whose time has come. */
export function waitKind(sql: Tag): unknown {
  return sql.raw(`CASE
          WHEN reason = 'dependencies' THEN 'dependencies'
          WHEN suspended AND (reason = 'suspended' OR not_before > now()) THEN
            CASE WHEN signals IS NOT NULL THEN 'signal' WHEN pending IS NOT NULL THEN 'call' ELSE 'sleep' END
        END`);
}

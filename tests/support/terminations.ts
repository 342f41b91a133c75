import postgres from "postgres";
import type { TestDatabase } from "./database.ts";

/** Terminations of connections at random, which go on for a while. Disposing of them ends them. */
export interface Terminations extends AsyncDisposable {
  /** Whether they still go on. */
  readonly ongoing: boolean;
  /** How many connections were terminated. */
  readonly count: number;
}

/**
 * Terminates about a third of Firefly's connections to `db`, 20 times a second, for `seconds` and until `isEnough`
 * holds for how many there were.
 */
export function terminateConnections(
  db: TestDatabase,
  { seconds, isEnough = () => true }: { seconds: number; isEnough?: (count: number) => boolean },
): Terminations {
  const sql = postgres(db.url, { max: 1, onnotice() {}, fetch_types: false });
  const end = performance.now() + seconds * 1000;
  let isDisposed = false;
  const state = {
    ongoing: true,
    count: 0,
    [Symbol.asyncDispose]() {
      isDisposed = true;
      return done;
    },
  };
  async function terminate(): Promise<void> {
    while (!isDisposed && (performance.now() < end || !isEnough(state.count))) {
      const { count } = await sql`
        SELECT pg_terminate_backend(pid)
        FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'firefly' AND random() < 0.3
      `;
      state.count += count;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    state.ongoing = false;
    await sql.end({ timeout: 1 });
  }
  const done = terminate();
  return state;
}

import postgres from "postgres";
import type { TestDatabase } from "./database.ts";

/** Bad weather: connections of a database are terminated at random. */
export interface Storm extends AsyncDisposable {
  /** Whether it still goes on. */
  readonly raging: boolean;
  /** How many connections it has terminated. */
  readonly terminated: number;
}

/** Terminates about a third of the connections of Firefly to `db`, 20 times a second, for `seconds`. */
export function storm(db: TestDatabase, { seconds }: { seconds: number }): Storm {
  const sql = postgres(db.url, { max: 1, onnotice() {}, fetch_types: false });
  const end = performance.now() + seconds * 1000;
  const state = { raging: true, terminated: 0, [Symbol.asyncDispose]: () => done };
  async function rage(): Promise<void> {
    while (performance.now() < end) {
      const { count } = await sql`
        SELECT pg_terminate_backend(pid)
        FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'firefly' AND random() < 0.3
      `;
      state.terminated += count;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    state.raging = false;
    await sql.end({ timeout: 1 });
  }
  const done = rage();
  return state;
}

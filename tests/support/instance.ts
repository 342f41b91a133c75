import { type ConsumeOptions, type Consumer, Firefly, type FireflyOptions } from "../../mod.ts";
import { type TestDatabase, testDatabase } from "./database.ts";

/** An instance with a database of its own. */
export interface TestInstance extends AsyncDisposable {
  db: TestDatabase;
  ff: Firefly;
  /** Runs what is ready, and retries that are due at once, until nothing is. */
  drain(options?: ConsumeOptions): Promise<{ completed: number; failed: number }>;
}

/** Makes an instance for a test. */
export async function testInstance(options: FireflyOptions = {}): Promise<TestInstance> {
  const db = await testDatabase();
  const ff = new Firefly({ database: db.url, ...options });
  return {
    db,
    ff,
    async drain(consume: ConsumeOptions = {}) {
      const consumer: Consumer = ff.consume({ drain: true, ...consume });
      return await consumer.finished;
    },
    async [Symbol.asyncDispose]() {
      await ff.close();
      await db[Symbol.asyncDispose]();
    },
  };
}

let names = 0;

/** A name that no other task of this process has. */
export function taskName(): string {
  return `test.task${++names}`;
}

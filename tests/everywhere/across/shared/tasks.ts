/** The tasks of the programs. Every process defines them. @module */
import { current, task, TaskCancelled } from "@firefly/tasks";
import { OWN, tell } from "./runtimes.ts";
import { THROWN } from "./thrown.ts";
import { wrong } from "./values.ts";

/** Checks a value on the runtime of the consumer, and returns it. */
export const echo = task({ name: "across.echo", timeout: "30s" }, async (name: string, value: unknown) => {
  const difference = await wrong(name, value);
  if (difference !== undefined) {
    throw new Error(`${name} came to ${OWN} as something else: ${difference}`);
  }
  return value;
});

/** Fails with what an application may throw. */
export const fail = task("across.fail", (name: string): never => {
  throw THROWN[name]!();
});

/** Fails once, and is retried elsewhere. */
export const flaky = task({ name: "across.flaky", maxRetries: 1, retryDelay: 0 }, () => {
  if (current().attempt === 1) throw new Error(`first on ${OWN}`);
  return OWN;
});

/** Reports progress, and waits until it is cancelled. */
export const nap = task({ name: "across.nap", timeout: "30s" }, async () => {
  const { id, signal } = current();
  await current().progress(0.25, `naps on ${OWN}`);
  if (!signal.aborted) {
    await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
  }
  tell({ [`aborted ${id}`]: signal.reason instanceof TaskCancelled, name: signal.reason.name });
  throw signal.reason;
});

/** Reports progress at each of some steps. */
export const steps = task({ name: "across.steps", timeout: "30s" }, async (count: number) => {
  for (let step = 1; step <= count; step++) {
    await current().progress(step / (count + 1), `step ${step} on ${OWN}`);
    await new Promise((resolve) => setTimeout(resolve, 600)); // reports are stored at most twice a second
  }
  return count;
});

/** At most one at a time for a key. */
export const once = task(
  { name: "across.once", queue: "unserved", unique: { key: (key: string) => key } },
  (key: string) => key,
);

/** Adds a row to a table in the transaction that completes the task. */
export const add = task("across.add", async (n: number) => {
  await current().sql`INSERT INTO ledger (n, runtime, attempt) VALUES (${n}, ${OWN}, ${current().attempt})`;
  return OWN;
});

import { testDatabase } from "../support/database.ts";
import type { Fault } from "./fault.ts";
import { type Seen, TRANSITIONS } from "./model/life.ts";
import { runModel } from "./model/run.ts";

/**
 * `MODEL_SEED`, one or several with commas, repeats runs, as far as the server's own choices allow; `MODEL_STEPS` makes
 * them shorter or longer. Where changes are judged (CI) the seeds are the same each time, so that a failure is the
 * change's.
 */
export const STEPS = Number(Deno.env.get("MODEL_STEPS") ?? 3_000);
/** The same for `deno task faults`. */
const FAULT_STEPS = Number(Deno.env.get("MODEL_STEPS") ?? 10_000);
/** One run for each. */
export const SEEDS: readonly number[] = Deno.env.get("MODEL_SEED")?.split(",").map(Number) ??
  Array.from({ length: 5 }, (_, i) => Deno.env.get("CI") ? i + 1 : Math.floor(Math.random() * 2 ** 32));

/** Runs the model with all of `seeds`; resolves to how often each transition was seen. */
export async function runSeeds(seeds: readonly number[], steps: number): Promise<Seen> {
  const all: Seen = new Map();
  // Two at a time, as much of each is waiting for the server.
  const left = [...seeds];
  await Promise.all([1, 2].map(async () => {
    for (let seed = left.pop(); seed !== undefined; seed = left.pop()) {
      await using db = await testDatabase();
      for (const [transition, count] of await runModel(db, { seed, steps })) {
        all.set(transition, (all.get(transition) ?? 0) + count);
      }
    }
  }));
  return all;
}

/** Fault 21: whatever happens in whatever order, the tables hold what a model in memory says. */
export const randomSteps: Fault = {
  number: 21,
  title: `${FAULT_STEPS} random steps of everything against a model in memory, ${SEEDS.length} seeds`,
  testedBy: "tests/faults/model_test.ts",
  async run(figures, scale) {
    const [seeds, steps] = scale === "full" ? [SEEDS, FAULT_STEPS] : [SEEDS.slice(0, 1), 1_000];
    console.error(`MODEL_SEED=${seeds.join()} MODEL_STEPS=${steps}`);
    const seen = await runSeeds(seeds, steps).catch((error: Error) => error);
    const isError = seen instanceof Error;
    figures.is("difference from the model", isError ? seen.message.split("\n")[0]! : "none", "none");
    if (isError) return;
    const known = TRANSITIONS.length;
    figures.atLeast(
      "kinds of transitions seen",
      seen.size,
      scale === "full" && FAULT_STEPS >= 10_000 ? known : known / 2,
    );
  },
};

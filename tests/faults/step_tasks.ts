import { current, task } from "../../mod.ts";

/** The names of ten steps; two have no effect, and one fails after its effect. */
export const NAMES = Array.from({ length: 10 }, (_, i) => `s${i + 1}`);
const [WITHOUT_EFFECT, FAILING] = [["s3", "s7"], "s5"];

/** What a task leaves in the ledger: each of these once. */
export const EFFECTS = [...NAMES.filter((name) => ![...WITHOUT_EFFECT, FAILING].includes(name)), "end"].toSorted();

/** Ten steps, one after another. */
export const ten = task({ name: "steps.ten", maxRetries: 0 }, async () => {
  const { step, id } = current();
  const write = (name: string) => current().sql`INSERT INTO step_ledger (task_id, name) VALUES (${id}, ${name})`;
  for (const name of NAMES) {
    await step(name, async () => {
      if (!WITHOUT_EFFECT.includes(name)) await write(name);
      if (name === FAILING) throw new Error("declined");
      return name;
    }).catch((error) => {
      if (error.message !== "declined") throw error;
    });
  }
  await write("end");
});

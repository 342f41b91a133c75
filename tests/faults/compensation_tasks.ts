import { current, task } from "../../mod.ts";

/** Three steps that can be undone, and one that fails in a process that says so. An undoing may hang there. */
export const saga = task({ name: "saga.three", maxRetries: 0 }, async () => {
  const { step, id } = current();
  const write = (name: string) => current().sql`INSERT INTO saga_ledger (task_id, name) VALUES (${id}, ${name})`;
  for (const name of ["a", "b", "c"]) {
    await step(name, async () => {
      await write(name);
      return name;
    }, async (undone) => {
      await write(`undo ${undone}`);
      if (Deno.env.get("SAGA_HANGS") !== undone) return;
      console.error(`undoing ${undone}`);
      await new Promise(() => {});
    });
  }
  await step("d", async () => {
    if (Deno.env.get("SAGA_FAILS")) throw new RangeError("sold out");
    await write("d");
  });
  await write("end");
});

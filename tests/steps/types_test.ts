import { current, type StepOptions } from "../../mod.ts";

/** Checked by the type checker alone. */
export async function check(): Promise<void> {
  const { step } = current();
  const text: string = await step("a", () => "a");
  const nothing: void = await step("b", () => {});
  const list: number[] = await step({ name: "c", key: "k", aliases: ["d"], timeout: "5s" }, async () => await [1]);
  const key: string = await step("d", ({ idempotencyKey, signal }) => signal.aborted ? "" : idempotencyKey);
  const options: StepOptions = { name: "e" };
  // @ts-expect-error: a result must be plain data
  await step(options, () => () => text);
  // @ts-expect-error: a result must be plain data
  await step("f", async () => await { done: () => list });
  // @ts-expect-error: there are no retries of steps
  await step({ name: "g", maxRetries: 3 }, () => key);
  // @ts-expect-error: it needs a function
  await step("h");
  return nothing;
}

Deno.test("the types of steps are those of their functions", () => {});

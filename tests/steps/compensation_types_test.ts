import { current, type TaskRecord, tasks } from "../../mod.ts";

/** Checked by the type checker alone. */
export async function check(record: TaskRecord<[id: number], string>): Promise<void> {
  const { step } = current();
  const charge: { id: number } = await step("a", async () => await { id: 1 }, ({ id }, { signal, key }) => {
    const [number, text]: [number, string] = [id, key];
    return [number, text, signal];
  });
  await step({ name: "b", maxRetries: 3 }, () => charge.id, async (id: number) => await Promise.resolve(id));
  await step("c", () => {}, () => {});
  // @ts-expect-error: it gets what the step returned
  await step("d", () => 1, (text: string) => text);
  // @ts-expect-error: it is a function
  await step("e", () => 1, "undo");
  // @ts-expect-error: a result must be plain data, compensated or not
  await step("f", () => () => 1, () => {});

  const fork: TaskRecord<[id: number], string> = await record.fork({ from: { step: "a", key: "2" } });
  await fork.fork({ from: "b" });
  const other: TaskRecord = await tasks.fork(17);
  const origin: number | null = other.forkedFrom;
  // @ts-expect-error: there is no such option
  await record.fork({ step: `${origin}` });
}

Deno.test("the types of compensations are those of their steps", () => {});

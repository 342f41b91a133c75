import { current, type Signal, signal, type StepOptions, task, type TaskRecord, tasks } from "../../mod.ts";

const approved = signal<{ by: string }>("approved");
const stop = signal("stop");
const maybe = signal<string | undefined>("maybe");
const counted = signal({
  name: "counted",
  input: {
    "~standard": { version: 1, vendor: "test", validate: (value: unknown) => ({ value: Number(value) }) },
  },
});
const print = task("types.print", (label: string, copies?: number) => [label, copies ?? 1] as [string, number]);

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
  await step({ name: "g", maxRetries: 3, retryDelay: { kind: "linear", delay: "1s" } }, () => key);
  // @ts-expect-error: a delay is no function
  await step({ name: "g", maxRetries: 3, retryDelay: () => 5 }, () => key);
  // @ts-expect-error: it needs a function
  await step("h");
  return nothing;
}

/** Checked by the type checker alone. */
export async function checkWaits(record: TaskRecord): Promise<void> {
  const { step } = current();
  const nothing: void = await step.sleep("2d");
  await step.sleep("reminder", new Date());
  // @ts-expect-error: a duration has a unit
  await step.sleep("2 days");
  // @ts-expect-error: a name alone is no time
  await step.sleep("reminder");

  const { by }: { by: string } = await step.waitFor(approved, { timeout: "7d" });
  const none: void = await step.waitFor(stop);
  const number: number = await step.waitFor(counted, { timeout: new Date() });
  // @ts-expect-error: the payload has no such member
  (await step.waitFor(approved)).at;
  // @ts-expect-error: it waits for signals, not names
  await step.waitFor("approved");

  const sent: boolean = await approved.send(17, { by });
  await stop.send(17);
  await maybe.send(17, undefined);
  await record.signal(approved, { by: "Ada" });
  await print.signal("42", approved, { by: "Ada" });
  await tasks.signal(17, stop);
  // @ts-expect-error: the payload is missing
  await approved.send(17);
  // @ts-expect-error: it has no payload
  await stop.send(17, "now");
  // @ts-expect-error: the payload is of another type
  await record.signal(approved, { by: 5 });
  // @ts-expect-error: the payload is of another type
  await print.signal("42", counted, "five");
  // @ts-expect-error: the payload is missing
  await tasks.signal(17, approved);

  const [label, copies]: [string, number] = await step.call(print, "a");
  const all: [string, number][] = await step.callMany(print.with({ priority: 1 }), [["a"], ["b", 2]]);
  // @ts-expect-error: the argument is of another type
  await step.call(print, 5);
  // @ts-expect-error: an argument is missing
  await step.callMany(print, [[]]);
  // @ts-expect-error: a function is no task
  await step.call((text: string) => text, "a");
  // @ts-expect-error: the result is of another type
  const wrong: number = await step.call(print, label);
  const any: Signal<never> = approved as unknown as Signal<never>;
  return void [nothing, none, number, sent, copies, all, wrong, any];
}

Deno.test("the types of steps are those of their functions", () => {});

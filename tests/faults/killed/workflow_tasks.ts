import { current, signal, task } from "../../../mod.ts";

/** Workflows whose consumers are killed. All that they do outside of memory is a row of `step_ledger` a part. */

async function write(root: number, name: string): Promise<string> {
  await current().sql`INSERT INTO step_ledger (task_id, name) VALUES (${root}, ${name})`;
  return name;
}

/** What steps schedule: it writes one row, through the transaction of its attempt. */
export const note = task(
  { name: "steps.note", maxRetries: 0 },
  async (root: number, name: string, ..._after: string[]) => await write(root, name),
);

/** What a workflow leaves behind, each once. */
export interface Expected {
  /** Its steps, in the order in which they ended; those of parallel branches come last. */
  readonly steps: readonly string[];
  /** How many of the last are those of parallel branches, in any order. */
  readonly parallel: number;
  /** The names of its rows of `step_ledger`. */
  readonly effects: readonly string[];
  /** How it ends. @default "completed" */
  readonly status?: "failed";
}

const NAMES = Array.from({ length: 10 }, (_, i) => `s${i + 1}`);

/** Ten steps: with an effect, with tasks that they schedule, with both, with neither; one fails after its effect. */
export const ten = task({ name: "steps.ten", maxRetries: 0 }, async () => {
  const { step, id } = current();
  for (const name of NAMES) {
    await step(name, async () => {
      if (["s3", "s7"].includes(name)) return name;
      if (name === "s2") await note.schedule(id, "s2 note");
      if (name === "s6") return void await note.schedule(id, "s6 second", note.schedule(id, "s6 first"));
      await write(id, name);
      if (name === "s5") throw new Error("declined");
      return name;
    }).catch((error) => {
      if (error.message !== "declined") throw error;
    });
  }
  return await write(id, "end");
});

const approved = signal<string>("approved");

/** Sends the signal that a workflow waits for, through the transaction of its attempt. */
export const approve = task({ name: "steps.approve", maxRetries: 0 }, async (root: number) => {
  await approved.send(root, "yes");
  await write(root, "approve");
});

/** Has steps of its own, and is called. */
export const part = task({ name: "steps.part", maxRetries: 0 }, async (root: number, name: string) => {
  const { step } = current();
  await step("own", () => write(root, `${name} own`));
  await step.sleep("10ms");
  return await write(root, name);
});

/** Ten steps that also wait: for a signal, for a time, for tasks, and to be tried again. */
export const waits = task({ name: "steps.waits", maxRetries: 0 }, async () => {
  const { step, id } = current();
  await step("s1", () => write(id, "s1"));
  await step("s2", async () => {
    await approve.schedule(id);
    await write(id, "s2");
  });
  const answer = await step.waitFor(approved, { timeout: "1h" });
  await step("s3", () => write(id, `s3 ${answer}`));
  await step.sleep("nap", "20ms");
  await step({ name: "s4", maxRetries: 5, retryDelay: "20ms" }, async () => {
    const { sql } = current();
    const [row] = await sql`SELECT failures FROM firefly.step WHERE task_id = ${id} AND name = 's4'`;
    await write(id, "s4");
    if ((row?.failures ?? 0) < 2) throw new Error("not yet");
  });
  const labels = await step.callMany(note, ["a", "b", "c"].map((name) => [id, `call ${name}`]));
  await step("s5", () => write(id, labels.join(", ")));
  const [own, called] = await Promise.all([
    step("s6", () => write(id, "s6")),
    step.call(part, id, "part"),
    step.sleep("rest", "15ms"),
  ]);
  return await write(id, `end ${own} ${called}`);
});

const UNDONE = ["s1", "s3", "s5"];

/** Nine steps of which three are undone, as the tenth fails; what undoes one of them schedules a task. */
export const saga = task({ name: "steps.saga", maxRetries: 0 }, async () => {
  const { step, id } = current();
  for (const name of NAMES.slice(0, 9)) {
    const run = () => write(id, name);
    if (!UNDONE.includes(name)) await step(name, run);
    else await step(name, run, undo);
  }
  await step("s10", () => {
    throw new Error("sold out");
  });

  async function undo(name: string) {
    await write(id, `undo ${name}`);
    if (name === "s3") await note.schedule(id, "undo s3 note");
  }
});

/** What the workflows leave behind, by the name of their task. */
export const EXPECTED: Readonly<Record<string, Expected>> = {
  "steps.ten": {
    steps: NAMES,
    parallel: 0,
    effects: ["s1", "s2", "s2 note", "s4", "s6 first", "s6 second", "s8", "s9", "s10", "end"],
  },
  "steps.waits": {
    steps: ["s1", "s2", "approved", "s3", "nap", "s4", "steps.note", "s5", "rest", "s6", "steps.part"],
    parallel: 3,
    effects: [
      ...["approve", "call a", "call a, call b, call c", "call b", "call c", "end s6 part", "part", "part own"],
      ...["s1", "s2", "s3 yes", "s4", "s6"],
    ],
  },
  "steps.saga": {
    steps: [...NAMES, ...UNDONE.map((name) => `compensate ${name}`).reverse(), "compensate"],
    parallel: 0,
    effects: [...NAMES.slice(0, 9), ...UNDONE.map((name) => `undo ${name}`), "undo s3 note"],
    status: "failed",
  },
};

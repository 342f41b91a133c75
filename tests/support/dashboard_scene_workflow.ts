import { current, type Firefly, signal, task } from "../../mod.ts";

/** The ids of the tasks of {@linkcode workflowScene}. */
export interface WorkflowIds {
  /** A task with steps of every kind, which waits for a signal, a time and the retry of a step. */
  readonly steps: number;
  /** A task with two steps that has completed. */
  readonly stepped: number;
  /** The last task of a graph that has completed. */
  readonly graph: number;
  /** A task that waits for others, of which one is tried again in an hour. */
  readonly dependent: number;
}

/** What the order of the scene waits for. */
export const approved = signal<{ by: string }>("order.approved");

/** Prints a label: the order calls it. */
export const printLabel = task("label.print", (parcel: number) => `label ${parcel}`);

/** An order: steps that complete and fail, a call, and then three waits at once. */
export const processOrder = task({ name: "order.process", maxRetries: 0 }, async (id: number) => {
  const { step } = current();
  const charge = await step("charge", () => ({ id: `ch_${id}`, cardNumber: "4242 4242 4242 4242" }));
  await Promise.all(["front.png", "back.png"].map((key) => step({ name: "resize", key }, () => key.length)));
  await step("reserve", () => {
    throw Object.assign(new Error("no room on the van"), { name: "OutOfStock" });
  }).catch(() => {});
  const labels = await step.callMany(printLabel, [[1], [2], [3]]);
  const ship = { name: "ship", maxRetries: 3, retryDelay: "1h" } as const;
  const [{ by }] = await Promise.all([
    step.waitFor(approved, { timeout: "7d" }),
    step(ship, () => {
      throw Object.assign(new Error("the carrier answered 503"), { name: "CarrierError" });
    }),
    step.sleep("2d"),
  ]);
  return { charge: charge.id, labels, by };
});

export const weigh = task("parcel.weigh", async (parcel: number) => {
  const { step } = current();
  await step("scales", () => parcel * 2);
  return await step("stamp", () => parcel * 3);
});

export const extractRows = task("csv.extract", (file: number) => file);
export const loadPrices = task(
  { name: "prices.load", maxRetries: 3, retryDelay: "1h" },
  (isBroken: boolean): number => {
    if (isBroken) throw new Error("prices.example answered 502");
    return 7;
  },
);
export const mergeRows = task("csv.merge", (parts: number[], prices: number) => parts.length * prices);
export const sendReport = task("report.send", (rows: number) => `${rows} rows`);

/** All tasks of workflows that the consumers of a scene know. */
export const WORKFLOW_TASKS = [processOrder, printLabel, weigh, extractRows, loadPrices, mergeRows, sendReport];

/** Runs tasks with steps, waits, calls and dependencies by a real consumer. */
export async function workflowScene(ff: Firefly): Promise<WorkflowIds> {
  const [steps, stepped, graph, dependent] = await ff.run(() =>
    Promise.all([
      processOrder.schedule(4711),
      weigh.schedule(3),
      sendReport.schedule(mergeRows.schedule(extractRows.scheduleMany([[1], [2], [3]]), loadPrices.schedule(false))),
      mergeRows.schedule(
        extractRows.scheduleMany(Array.from({ length: 12 }, (_, file): [number] => [file])),
        loadPrices.schedule(true),
      ),
    ])
  );
  await ff.consume({ tasks: WORKFLOW_TASKS, drain: true }).finished;
  return { steps: steps.id, stepped: stepped.id, graph: graph.id, dependent: dependent.id };
}

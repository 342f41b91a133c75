import process from "node:process";
import { dashboard } from "../../dashboard.ts";
import { configure, type Firefly } from "../../mod.ts";
import { findDatabase } from "../../src/firefly/connect.ts";
import { ConsumerProcess } from "./consumer_process.ts";
import { detail, print, step, strong } from "./screen.ts";
import { inventPast, scheduleFirst, scheduleSome } from "./shop_data.ts";

const SCHEMA = "firefly_demo";
/** How often tasks are scheduled, in milliseconds. */
const INTERVAL = 500;

/** Shows the dashboard of a shop that is open, until `signal` aborts. */
export async function showDashboard({ port, signal }: { port: number; signal: AbortSignal }): Promise<void> {
  print(strong("Firefly's dashboard, of a shop whose tasks run in two other processes\n"));
  await using ff = await openShop();
  const common = { tasks: "shop", schema: SCHEMA, release: "1.4.0", shutdownTimeout: "500ms" } as const;
  const consumers = [
    new ConsumerProcess({ ...common, queues: ["default", "reports"], concurrency: 10 }),
    new ConsumerProcess({ ...common, queues: ["mail", "media"], concurrency: 6 }),
  ];
  const board = dashboard({ firefly: ff, open: true, title: "demo" });
  const server = Deno.serve({ hostname: "127.0.0.1", port, onListen() {} }, (request) => board.fetch(request));
  try {
    step("Open", `http://localhost:${server.addr.port}/`);
    detail("Why does pdf.rendr not run? Retry what billing.charge failed. Resume the queue reports.");
    detail("Which orders wait for order.approved? Send it on the page of one.");
    detail("Ctrl-C ends it");
    await Promise.race([keepBusy(signal), ...consumers.map(({ lost }) => lost)]);
  } finally {
    board.close();
    await Promise.all([server.shutdown(), ...consumers.map((consumer) => consumer.stop())]);
  }
}

/** Makes the shop's schema anew. */
async function openShop(): Promise<Firefly> {
  process.env.FIREFLY_EMBEDDED ??= "1"; // also for its consumers
  const { url, options, label } = await findDatabase({ onProgress: detail });
  const ff = configure({ database: url ?? options, schema: SCHEMA });
  step("Database", `${label}, schema ${SCHEMA}`);
  await ff.sql`DROP SCHEMA IF EXISTS firefly_demo CASCADE`;
  await ff.migrate();
  await inventPast(ff);
  await scheduleFirst(ff);
  return ff;
}

async function keepBusy(signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await scheduleSome();
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, INTERVAL);
      signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
    });
  }
}

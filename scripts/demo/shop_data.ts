import type { Firefly } from "../../mod.ts";
import {
  addUpSales,
  callHook,
  charge,
  exportReport,
  processOrder,
  readSales,
  renderInvoice,
  sendMail,
  syncCustomer,
  transcode,
} from "./shop.ts";

const CUSTOMERS = ["ana", "ben", "chloé", "dmitri", "ewa", "fatima"];
/** Each hour of the demo's invented past has so many minutes of statistics. */
const MINUTES = 60;

let order = 1000;
const pick = <T>(list: readonly T[]): T => list[Math.floor(Math.random() * list.length)]!;
const mail = () => [`${pick(CUSTOMERS)}@shop.example`, pick(["welcome", "receipt", "shipped"])] as [string, string];
const card = () => ({
  id: ++order,
  amount: 100 + Math.floor(Math.random() * 9_900),
  cardNumber: "4111 1111 1111 1111",
});

const REGIONS = ["north", "east", "south", "west"];
/** An order with its amount in cents. */
const newOrder = (): [order: number, amount: number] => [++order, 100 + Math.floor(Math.random() * 9_900)];

/** Schedules what is there from the beginning: what waits, what is paused, what nothing serves, what nothing knows. */
export async function scheduleFirst(ff: Firefly): Promise<void> {
  await ff.pause("reports", { reason: "the warehouse moves to a new server", by: "ana@ops" });
  await exportReport.scheduleMany(Array.from({ length: 41 }, (_, week) => [`week ${week + 1}`]));
  await callHook.scheduleMany(Array.from({ length: 120 }, () => [`https://${pick(CUSTOMERS)}.example/hook`]));
  await sendMail.with({ delay: "2h", tags: ["newsletter"] }).scheduleMany(Array.from({ length: 300 }, mail));
  await charge.scheduleMany(Array.from({ length: 60 }, () => [card()]));
  await transcode.scheduleMany(Array.from({ length: 8 }, (_, n) => [`film-${n + 1}.mov`, 40 + n * 25]));
  await processOrder.scheduleMany(Array.from({ length: 12 }, newOrder));
  const report = await addUpSales.schedule(readSales.scheduleMany(REGIONS.map((region): [string] => [region])));
  await sendMail.with({ after: [report] }).schedule("ana@shop.example", "sales");
  // Another program schedules by SQL, and has mistyped a name.
  for (let n = 0; n < 6; n++) await ff.sql`SELECT firefly_demo.schedule('pdf.rendr', jsonb_build_array(${n}::integer))`;
}

/** Schedules what comes in half a second. */
export async function scheduleSome(): Promise<void> {
  const chance = (share: number) => Math.random() < share;
  await sendMail.scheduleMany(Array.from({ length: 1 + Math.floor(Math.random() * 5) }, mail));
  await renderInvoice.with({ tags: ["invoice"] }).schedule(++order);
  if (chance(0.95)) await syncCustomer.schedule(Math.floor(Math.random() * 500));
  if (chance(0.3)) await charge.with({ tags: ["shop"] }).schedule(card());
  if (chance(0.2)) await callHook.schedule(`https://${pick(CUSTOMERS)}.example/hook`);
  if (chance(0.12)) await processOrder.schedule(...newOrder());
  if (chance(0.02)) await addUpSales.schedule(readSales.scheduleMany(REGIONS.map((region): [string] => [region])));
  if (chance(0.03)) await transcode.schedule(`film-${order}.mov`, 20 + Math.floor(Math.random() * 60));
}

/** What a name did in a minute of the invented past: on average, and how long it took by the buckets of a histogram. */
const PAST: readonly [
  queue: string,
  name: string,
  completed: number,
  failed: number,
  retried: number,
  run: number[],
][] = [
  ["mail", "mail.send", 320, 0, 24, [0, 0, 0, 0, 0, 0, 40, 130, 110, 35, 5]],
  ["default", "crm.sync", 110, 0, 1, [0, 0, 0, 0, 0, 0, 0, 0, 10, 30, 50, 20]],
  ["default", "pdf.render", 118, 0, 0, [0, 0, 0, 0, 0, 0, 0, 0, 30, 60, 28]],
  ["default", "billing.charge", 30, 2, 0, [0, 0, 0, 0, 0, 0, 0, 0, 8, 16, 6]],
  ["media", "media.transcode", 2, 0, 0, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]],
];

/** Writes an hour of statistics, as if the shop had been open for so long: charts of a minute show nothing. */
export async function inventPast(ff: Firefly): Promise<void> {
  for (const [queue, name, completed, failed, retried, run] of PAST) {
    await ff.sql`
      INSERT INTO firefly_demo.task_minute (minute, queue, func_name, completed, failed, retried, run)
      SELECT date_trunc('minute', now()) - make_interval(mins => ago), ${queue}::text, ${name}::text,
        (${completed}::float * (0.8 + random() * 0.4))::integer, (${failed}::float * random() * 2)::integer,
        (${retried}::float * random() * 2)::integer, ${run}::integer[]
      FROM generate_series(0, ${MINUTES}::integer) AS ago
      ON CONFLICT DO NOTHING
    `;
  }
  await ff.sql`
    INSERT INTO firefly_demo.queue_minute
      (minute, queue, completed, failed, retried, wait, due, waiting, running, places, oldest)
    SELECT minute, queue, sum(completed), sum(failed), sum(retried), '{5, 40, 90, 120, 80, 30, 12, 4, 1}',
      (random() * 12)::integer, (40 + random() * 9)::integer, (2 + random() * 5)::integer, 10, random() * 2
    FROM firefly_demo.task_minute
    GROUP BY minute, queue
    ON CONFLICT DO NOTHING
  `;
}

import { current, Fail, signal, task, tasks } from "../../mod.ts";

/** The tasks of a shop, for the dashboard's demo: what they do is to wait, and sometimes to fail. */

const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const around = (ms: number) => wait(ms * (0.4 + Math.random() * 1.2));
/** A number that differs from error to error, as the numbers in real errors do. */
const anyNumber = () => Math.floor(Math.random() * 250);

/** Sends a mail. One in six attempts meets a busy server, and is tried again. */
export const sendMail = task(
  { name: "mail.send", queue: "mail", maxRetries: 8, retryDelay: "5s" },
  async (_to: string, _template: string) => {
    await around(60);
    if (Math.random() < 0.16) {
      throw Object.assign(new Error(`421 4.7.0 too many connections from 10.0.3.${anyNumber()}`), {
        name: "SmtpError",
      });
    }
    return { messageId: crypto.randomUUID() };
  },
);

/** Charges an order. The bank refuses one in three, until someone looks and retries it. */
export const charge = task(
  { name: "billing.charge", queue: "default", maxRetries: 0 },
  async (order: { id: number; amount: number; cardNumber: string }) => {
    await around(300);
    const { errors } = await tasks.get(current().id);
    if (order.id % 3 === 0 && errors.length === 0) {
      throw Object.assign(new Fail(`The bank answered 503 to request ${anyNumber()}`), { name: "BankUnavailable" });
    }
    return { receipt: `R-${order.id}`, token: crypto.randomUUID() };
  },
);

/** Tells a customer's system of an order: two starts a second, so that a line forms. */
export const syncCustomer = task(
  { name: "crm.sync", queue: "default", maxRetries: 2, retryDelay: "2s", rateLimit: { limit: 2, per: "1s" } },
  async (customer: number) => {
    await around(400);
    return { customer, changed: customer % 2 === 0 };
  },
);

/** Renders an invoice. */
export const renderInvoice = task({ name: "pdf.render", queue: "default" }, async (order: number) => {
  await around(250);
  return { pages: 1 + order % 3 };
});

/** Converts a film, and reports how far it is. */
export const transcode = task(
  { name: "media.transcode", queue: "media", timeout: "10m", concurrency: { limit: 3 } },
  async (film: string, seconds: number) => {
    for (let second = 0; second < seconds; second++) {
      await current().progress(second / seconds, `frame ${second * 24} of ${seconds * 24}`);
      await wait(1_000);
    }
    return { film, size: seconds * 1_400_000 };
  },
);

/** Exports a report: its queue is paused. */
export const exportReport = task({ name: "reports.export", queue: "reports" }, async (_report: string) => {
  await around(900);
});

/** Calls a customer's web hook. No consumer of the demo serves its queue. */
export const callHook = task({ name: "webhooks.deliver", queue: "webhooks", maxRetries: 5 }, async (_url: string) => {
  await around(120);
});

/** Indexes what has changed, every thirty seconds. */
export const reindex = task({ name: "search.reindex", queue: "default", cron: "*/30 * * * * *" }, async () => {
  await around(1_500);
  return { documents: 100 + anyNumber() };
});

/** Adds up the day, every minute; each other time it fails. */
export const closeBooks = task(
  { name: "books.close", queue: "default", cron: "* * * * *", maxRetries: 0 },
  async () => {
    await around(700);
    if (new Date().getMinutes() % 2 === 0) throw new Error(`The books differ by ${anyNumber()} cents`);
  },
);

/** What an order of more than 50 euros waits for: send it on the page of the order. */
export const approved = signal<{ by: string } | undefined>("order.approved");

/** Prints the label of a parcel: an order calls it. */
export const printLabel = task({ name: "label.print", queue: "default" }, async (parcel: string) => {
  await around(400);
  return `label of ${parcel}`;
});

/** Sends an order, in steps: a large one waits for its approval, and the carrier refuses one in four tries. */
export const processOrder = task(
  { name: "order.process", queue: "default", maxRetries: 1 },
  async (order: number, amount: number) => {
    const { step } = current();
    const charge = await step("charge", async () => {
      await around(300);
      return { receipt: `R-${order}`, token: crypto.randomUUID() };
    });
    await Promise.all(["front", "back"].map((key) => step({ name: "photo", key }, () => around(500))));
    if (amount > 5_000) await step.waitFor(approved, { timeout: "2d" });
    await step.sleep("cool down", "4s");
    const labels = await step.callMany(printLabel, [[`${order}-a`], [`${order}-b`]]);
    await step({ name: "ship", maxRetries: 5, retryDelay: "8s" }, async () => {
      await around(200);
      if (Math.random() < 0.25) throw Object.assign(new Error("The carrier answered 503"), { name: "CarrierError" });
    });
    return { receipt: charge.receipt, labels };
  },
);

/** Reads the sales of a region, for the report. */
export const readSales = task({ name: "sales.read", queue: "default" }, async (region: string) => {
  await around(2_000);
  return { region, sum: anyNumber() };
});

/** Adds up the sales of all regions: it depends on each. */
export const addUpSales = task(
  { name: "sales.report", queue: "default" },
  async (regions: { region: string; sum: number }[]) => {
    await around(800);
    return regions.reduce((total, { sum }) => total + sum, 0);
  },
);

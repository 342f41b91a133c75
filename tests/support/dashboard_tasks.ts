import { Fail, task } from "../../mod.ts";

/** An error by whose name a handler of the scene fails. */
function errorOf(name: string, message: string, cause?: Error): Error {
  return Object.assign(new Error(message, { cause }), { name });
}

/** A mail server that takes no more connections: most of what fails in the scene. */
export const mailSend = task(
  {
    name: "mail.send",
    queue: "mail",
    maxRetries: 3,
    retryDelay: { kind: "exponential", delay: "20s", max: "1h" },
    timeout: "30s",
  },
  (_user: number, _mail: Record<string, unknown>): void => {
    const cause = errorOf("ConnectionError", "connection closed by smtp-relay.internal:587");
    throw errorOf("HttpError", "421 4.7.0 too many connections from 10.0.3.17", cause);
  },
);

export const billingCharge = task({ name: "billing.charge", maxRetries: 2 }, (_order: string, _card: object): void => {
  throw Object.assign(new Fail("card_declined (insufficient_funds)"), { name: "CardDeclined" });
});

export const webhooksDeliver = task({ name: "webhooks.deliver", queue: "webhooks" }, (order: string): void => {
  throw new TypeError(`Cannot read properties of null (reading 'url') for "${order}"`);
});

/** Fails with a message that would be markup, if a page did not escape it. */
export const hostile = task(
  { name: "import.hostile", maxRetries: 0 },
  (..._args: unknown[]): void => {
    throw errorOf(`<b onclick="x">`, `<img src=x onerror=alert(1)> "'&\u0000 ${"long ".repeat(120)}`);
  },
);

export const pdfRender = task(
  { name: "pdf.render", maxRetries: 1 },
  (_invoice: string) => ({ pages: 4, token: "tok_4242", made: new Date("2026-11-29T14:00:00Z") }),
);

export const searchIndex = task({ name: "search.index", maxRetries: 2 }, (..._args: unknown[]) => null);

/** Takes and returns more than a page can show. */
export const bigValues = task(
  { name: "import.rows" },
  (rows: unknown[]) => ({ rows, blob: new Uint8Array(4096), map: new Map([["a", new Set([1n, NaN, -0])]]) }),
);

export const smsSend = task(
  { name: "sms.send", rateLimit: { key: "smtp-relay", limit: 100, per: "1m" } },
  (_to: string) => {},
);

export const crmSync = task(
  { name: "crm.sync", maxRetries: 2, timeout: "30s", concurrency: { limit: 5, key: (crm: string) => crm } },
  (_crm: string, _page: number) => {},
);

export const mediaTranscode = task(
  { name: "media.transcode", queue: "media", maxRetries: 2, timeout: "30m", concurrency: { key: "gpu", limit: 4 } },
  (_url: string, _options: object) => {},
);

export const mediaThumbnail = task({ name: "media.thumbnail", queue: "media", maxRetries: 2 }, (_url: string) => {});
export const mailWelcome = task({ name: "mail.welcome", queue: "mail" }, (_user: number) => {});
export const mailDigest = task({ name: "mail.digest", queue: "mail" }, (_user: number) => {});
export const reportsExport = task({ name: "reports.export", queue: "reports" }, (_year: number, _month: number) => {});

/** All that the consumers of the scene know. */
export const SCENE_TASKS = [
  mailSend,
  billingCharge,
  webhooksDeliver,
  hostile,
  pdfRender,
  searchIndex,
  bigValues,
  smsSend,
  crmSync,
  mediaTranscode,
  mediaThumbnail,
  mailWelcome,
  mailDigest,
  reportsExport,
];

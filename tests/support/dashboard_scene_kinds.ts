import type { TestDatabase } from "./database.ts";

/** Text that breaks pages which are careless with it. */
export const HOSTILE_TEXT = `"'><svg onload=alert(1)>&amp;\u202eمهمة\u202c 🚀 \${x} {{x}} ${"w".repeat(500)}`;

/** Names that SQL may give to tasks, and definitions may not. */
const HOSTILE_NAMES = [`<script>alert("name")</script>`, "مهمة.إرسال 🚀", `x.${"very-long-name.".repeat(13)}`];

/** A kind of tasks that are alike: `n` of them, created evenly between `from` and `to` seconds ago. */
interface Kind {
  readonly func: string;
  readonly queue: string;
  readonly n: number;
  readonly from: number;
  readonly to: number;
  /** Each has its number before these, unless it is alone. */
  readonly args: unknown[];
  readonly status?: "completed" | "failed" | "cancelled";
  readonly priority?: number;
  /** From two minutes to so many seconds from now on they have to wait. */
  readonly ahead?: number;
  readonly error?: string;
  readonly result?: unknown;
  readonly rate?: string;
}

const MAIL_ERROR = "421 4.7.0 too many connections from 10.0.3.17";
/** The priority of those that consumers are to claim. */
export const TO_RUN = 9;

/** Tasks that have ended. */
export const PAST: readonly Kind[] = [
  { func: "search.index", queue: "default", n: 260, from: 86_000, to: 3600, args: ["product"], status: "completed" },
  { func: "pdf.render", queue: "default", n: 90, from: 80_000, to: 600, args: ["INV-2026"], status: "completed" },
  { func: "mail.welcome", queue: "mail", n: 60, from: 7000, to: 900, args: [], status: "completed" },
  { func: "crm.sync", queue: "default", n: 12, from: 7000, to: 900, args: ["globex"], status: "cancelled" },
  {
    ...{ func: "mail.send", queue: "mail", n: 211, from: 3000, to: 60, args: ["welcome"] },
    ...{ status: "failed", error: MAIL_ERROR },
  },
];

/** Tasks that have not. */
export const PRESENT: readonly Kind[] = [
  { func: "reports.export", queue: "reports", n: 417, from: 11_520, to: 30, args: [2026, 11] },
  { func: "pdf.rendr", queue: "default", n: 5, from: 1417, to: 60, args: ["INV-2026-11833"] },
  { func: "webhooks.deliver", queue: "webhooks", n: 2309, from: 724, to: 60, args: ["ord_91822"] },
  {
    ...{ func: "media.thumbnail", queue: "media", n: 28, from: 62, to: 60, args: ["s3://uploads/9f31/a.jpg"] },
    ...{ priority: TO_RUN },
  },
  { func: "mail.send", queue: "mail", n: 38, from: 90, to: 80, args: ["digest"], priority: TO_RUN },
  { func: "mail.send", queue: "mail", n: 610, from: 31, to: 25, args: ["receipt"] },
  { func: "mail.welcome", queue: "mail", n: 14, from: 28, to: 25, args: [] },
  { func: "mail.send", queue: "mail", n: 8101, from: 900, to: 120, args: ["again"], ahead: 1800, error: MAIL_ERROR },
  { func: "mail.digest", queue: "mail", n: 18, from: 90, to: 80, args: [], ahead: 518_400 },
  { func: "search.index", queue: "default", n: 30, from: 84, to: 81, args: ["product"], priority: TO_RUN },
  { func: "search.index", queue: "default", n: 211, from: 24, to: 23, args: ["product"] },
];

/** The newest ones, of every kind. */
export const NEWEST: readonly Kind[] = [
  { func: "pdf.render", queue: "default", args: ["INV-2026-11839"], status: "completed", result: { pages: 2 } },
  { func: "mail.send", queue: "mail", args: [4711, "welcome"], status: "failed", error: MAIL_ERROR },
  { func: "crm.sync", queue: "default", args: ["globex", 7], status: "cancelled" },
  { func: "pdf.rendr", queue: "default", args: ["INV-2026-11833"] },
  { func: "search.index", queue: "default", args: ["product", 88121], status: "completed", result: null },
  { func: "billing.renew", queue: "default", args: [], ahead: 73_600 },
  { func: "reports.export", queue: "reports", args: [2026, 11] },
  { func: "sms.send", queue: "default", args: ["+48 500 100 200"], rate: "smtp-relay" },
  { func: "mail.send", queue: "mail", args: [4480, "welcome"], ahead: 198, error: MAIL_ERROR },
  { func: "pdf.render", queue: "default", args: ["INV-2026-11840"], status: "completed", result: { pages: 4 } },
  { func: "media.thumbnail", queue: "media", args: ["s3://uploads/9f31/a.jpg"], priority: TO_RUN },
  { func: "webhooks.deliver", queue: "webhooks", args: ["ord_91822"] },
  { func: "search.index", queue: "default", args: ["product", 88122] },
].map((kind, i, all) => ({ n: 1, from: 2 * (all.length - i), to: 2 * (all.length - i), ...kind } as Kind));

/** Tasks with names and values that may break a page, which have failed or are due. */
export const HOSTILE: readonly Kind[] = HOSTILE_NAMES.flatMap((func): Kind[] => {
  const kind = { func, queue: "default", from: 30, to: 20, args: [HOSTILE_TEXT] };
  return [{ ...kind, n: 2, status: "failed", error: HOSTILE_TEXT }, { ...kind, n: 2 }];
});

/** Inserts tasks in the order of their times, as the ids of a real table are. */
export async function insertKinds(db: TestDatabase, kinds: readonly Kind[]): Promise<void> {
  await db.sql`
    INSERT INTO firefly.task (
      func_name, queue, priority, created, not_before, params, status, started, completed, failed, cancelled, returned,
      errors, retry_attempts, max_retries, rate_key
    )
    SELECT func, queue, COALESCE(priority, 0), at,
      CASE WHEN ahead IS NULL THEN at ELSE now() + (120 + (ahead - 120) * i / n) * interval '1 s' END,
      firefly.encode(CASE WHEN n > 1 THEN jsonb_build_array(4000 + i) ELSE '[]' END || args),
      COALESCE(status, 'created'), CASE WHEN status IN ('completed', 'failed') OR error IS NOT NULL THEN at + interval '0.1 s' END,
      CASE WHEN status = 'completed' THEN at + interval '1.1 s' END,
      CASE WHEN status = 'failed' THEN LEAST(at + interval '40 s', now() - (n - i) * interval '0.1 s') END,
      CASE WHEN status = 'cancelled' THEN at + interval '1.9 s' END,
      CASE WHEN status = 'completed' THEN firefly.encode(COALESCE(result, jsonb_build_object('pages', i % 9))) END,
      CASE WHEN error IS NOT NULL THEN (
        SELECT jsonb_agg(jsonb_build_object(
          'name', 'HttpError', 'message', error, 'attempt', attempt, 'seconds', 0.03 * attempt, 'host', 'mail-2', 'pid', 4121,
          'at', LEAST(at + interval '13 s' * (attempt - 1) + interval '1 s', now()), 'release', '0.4.0',
          'stack', 'HttpError: ' || error || E'\n    at deliver (file:///app/tasks/mail.ts:41:13)'
        )) FROM generate_series(1, CASE WHEN status = 'failed' THEN 4 ELSE 1 END) AS attempt
      ) END,
      CASE WHEN error IS NULL THEN NULL WHEN status = 'failed' THEN 3 ELSE 1 END,
      CASE WHEN error IS NOT NULL THEN 3 END, rate
    FROM (
      SELECT kind.*, i, now() - (kind.from - (kind.from - kind.to) * i / kind.n) * interval '1 s' AS at
      FROM jsonb_to_recordset(${db.sql.json(kinds as never)}) AS kind (
        func text, queue text, n integer, "from" double precision, "to" double precision, args jsonb, status text,
        priority integer, ahead double precision, error text, result jsonb, rate text
      )
      CROSS JOIN generate_series(1, kind.n) AS i
    ) AS one
    ORDER BY at
  `;
}

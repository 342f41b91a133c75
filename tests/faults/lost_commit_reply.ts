import { insertTask, recordOf } from "../support/records.ts";
import { until } from "../support/waiting.ts";
import { TcpProxy } from "../support/tcp_proxy.ts";
import type { Fault, Figures } from "./fault.ts";
import { entriesOf, startConsumer } from "./fleet.ts";
import { countOf, ledgerDatabase } from "./ledger.ts";

/** Fault 4: nobody tells whether a COMMIT took effect: its connection is dead, and the others are not. */
export const lostCommitReply: Fault = {
  number: 4,
  title: "the reply to COMMIT is black-holed, or COMMIT itself",
  async run(figures) {
    await Promise.all([loseCommit(figures, "mute"), loseCommit(figures, "hole")]);
  },
};

/** `mute`: COMMIT arrives and its reply does not. `hole`: it does not even arrive. */
async function loseCommit(figures: Figures, mode: "mute" | "hole"): Promise<void> {
  const what = mode === "mute" ? "committed" : "not committed";
  await using db = await ledgerDatabase();
  await using proxy = await TcpProxy.start(db.url);
  let lostAt: number | undefined;
  proxy.onRequest = (text, connection) => {
    if (lostAt !== undefined || !/\bCOMMIT\b/.test(text)) return;
    lostAt = performance.now();
    connection.mode = mode;
  };
  await using consumer = startConsumer({ url: proxy.through(db.url) });
  const id = await insertTask(db, { func_name: "process.mark", params: btoa("[1, 0]") });

  await until(() => entriesOf(consumer, "completed", "retried", "lost", "failed").length > 0, 40_000);
  figures.within(`${what}: resolved`, performance.now() - lostAt!, 10_000);
  const [{ event } = {}] = entriesOf(consumer, "completed", "retried", "lost", "failed");
  figures.is(`${what}: resolved to`, String(event), mode === "mute" ? "completed" : "retried");
  await until(async () => await countOf(db, "completed") === 1, 20_000);
  const { rescues, snoozes, retry_attempts } = await recordOf(db, id);
  figures.is(`${what}: effects`, (await db.sql`SELECT FROM ledger`).count, 1);
  const counted = [retry_attempts, rescues, snoozes].join(", ");
  figures.is(`${what}: retries, rescues, snoozes counted`, counted, mode === "mute" ? "0, 0, 0" : "0, 0, 1");
}

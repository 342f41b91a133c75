import type { SoakConsumer } from "./consumers.ts";
import { ask, type SoakDatabase } from "./database.ts";
import type { PlannedFault } from "./plan.ts";

/** Makes a fault happen; resolves when it is over. */
export async function inflict(
  { kind, consumer: index, seconds, share }: PlannedFault,
  { consumers, database: { url, server } }: { consumers: readonly SoakConsumer[]; database: SoakDatabase },
): Promise<void> {
  const consumer = consumers[index]!;
  const last = () => new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  switch (kind) {
    case "kill":
      return consumer.replace("SIGKILL");
    case "deploy":
      return consumer.replace("SIGTERM");
    case "freeze":
      consumer.signal("SIGSTOP");
      await last();
      return consumer.signal("SIGCONT");
    case "cut":
      return consumer.cut();
    case "hole":
      consumer.hole();
      await last();
      return consumer.heal();
    case "terminate":
      return await terminate(url, share);
    case "makeUnavailable":
      return await makeUnavailable(url);
    default:
      await server!.stop(kind === "crash" ? "immediate" : "fast");
      return await server!.start();
  }
}

/** Terminates a part of all connections, the scheduling process's among them, and one at least. */
async function terminate(url: string, share: number): Promise<void> {
  await ask(url, (sql) =>
    sql`
      WITH backend AS MATERIALIZED (
        SELECT pid, row_number() OVER (ORDER BY md5(pid::text || ${share}::text)) AS place, count(*) OVER () AS all
        FROM pg_stat_activity
        WHERE datname = current_database() AND application_name <> 'soak-probe'
      )
      SELECT pg_terminate_backend(pid) FROM backend WHERE place <= ceil("all" * ${share}::float8 / 2)
    `);
}

async function makeUnavailable(url: string): Promise<void> {
  await ask(url, (sql) =>
    sql`
      SELECT pg_terminate_backend(pid)
      FROM pg_stat_activity
      WHERE datname = current_database() AND application_name <> 'soak-probe'
        AND query ~ '^LISTEN|pg_listening_channels|_wake_lock'
    `);
}

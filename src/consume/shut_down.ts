import type { AttemptEnvironment } from "../attempt/environment.ts";
import { Shutdown } from "../attempt/shutdown.ts";
import type { Admission } from "../claim/admission.ts";
import type { ConsumerLease } from "../claim/consumer_lease.ts";
import type { Dependants } from "../claim/dependants.ts";
import type { HeldTasks } from "../claim/held_tasks.ts";
import type { Outages } from "../outages.ts";
import type { CronScheduler } from "../schedule/cron_scheduler.ts";
import type { Maintenance } from "./maintenance.ts";

/** How long a stopping consumer waits for the database, in milliseconds. */
const DEADLINE = 5_000;

/** What a consumer ends when it stops. */
export interface StoppingParts {
  readonly env: AttemptEnvironment;
  readonly held: HeldTasks;
  readonly admission: Admission;
  readonly dependants: Dependants;
  readonly lease: ConsumerLease;
  readonly maintenance: Maintenance;
  readonly crons: CronScheduler | undefined;
  /** What looks into the database now and then. */
  readonly watches: readonly ({ end(): Promise<void> } | undefined)[];
  readonly outages: Outages;
  /** Resolves when the looks are over that have begun, and that nothing else waits for. */
  checks(): Promise<unknown>;
}

/**
 * Returns tasks that never began, waits for attempts until `grace` resolves, and aborts the rest. Then ends what runs beside
 * them, and removes the consumer. Waits for the database up to a deadline. Never rejects: it reports what fails.
 */
export async function shutDown(parts: StoppingParts, grace: Promise<void>): Promise<void> {
  const { env, held, admission, dependants, lease, maintenance, crons, watches, outages } = parts;
  const { hooks, settler, log } = env;
  const cronsEnded = crons?.end();
  const released = held.release();
  const settled = held.settled().then(() => hooks.idle());
  await Promise.race([settled, grace]);
  held.abort(new Shutdown("The consumer shuts down"));
  const deadline = setTimeout(() => {
    settler.abandon();
    admission.abandon();
    dependants.abandon();
  }, DEADLINE);
  try {
    await Promise.all([held.settled(), released]);
    await parts.checks();
    for (const watch of watches) await watch?.end();
    await settler.idle();
    await maintenance.end();
    await writeStatistics(parts);
    await log?.end();
    await cronsEnded;
    await admission.idle();
    await dependants.idle();
    await lease.end();
  } catch (error) {
    outages.report("deregister", error);
  } finally {
    clearTimeout(deadline);
  }
}

/** The last write of its statistics: what fails here is lost, and must keep it from nothing. */
async function writeStatistics({ env: { statistics }, outages }: StoppingParts): Promise<void> {
  const { onError, onSuccess } = outages.of("write statistics");
  await statistics?.write().then(onSuccess, onError);
}

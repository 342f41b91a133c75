import { admitTasks } from "../../src/store/limits.ts";
import { claim, startConsumer } from "./claiming.ts";
import type { TestDatabase } from "./database.ts";

/** A consumer of the scene. */
interface SceneConsumer {
  readonly host: string;
  readonly pid: number;
  readonly queues: string[];
  readonly concurrency: number;
  readonly release: string | null;
  /** Seconds since it started, and since it renewed its lease. */
  readonly up: number;
  readonly answered: number;
  /** What it claims: how many tasks of each name. */
  readonly runs: Readonly<Record<string, number>>;
}

const CONSUMERS: readonly SceneConsumer[] = [
  {
    host: "mail-1",
    pid: 3980,
    queues: ["mail"],
    concurrency: 20,
    release: "0.4.0",
    up: 22_320,
    answered: 3,
    runs: { "mail.send": 19 },
  },
  {
    host: "mail-2",
    pid: 4121,
    queues: ["mail"],
    concurrency: 20,
    release: "0.4.0",
    up: 22_320,
    answered: 1,
    runs: { "mail.send": 19 },
  },
  {
    host: "web-1",
    pid: 812,
    queues: ["default", "reports"],
    concurrency: 20,
    release: "0.4.0",
    up: 187_200,
    answered: 2,
    runs: { "search.index": 16 },
  },
  {
    host: "web-2",
    pid: 815,
    queues: ["default", "reports"],
    concurrency: 20,
    release: "0.4.0",
    up: 187_200,
    answered: 4,
    runs: { "crm.sync": 5, "search.index": 10 },
  },
  {
    host: "web-3",
    pid: 790,
    queues: ["default"],
    concurrency: 20,
    release: "0.3.2",
    up: 781_200,
    answered: 2,
    runs: { "search.index": 4 },
  },
  {
    host: "media-1",
    pid: 77,
    queues: ["media"],
    concurrency: 20,
    release: "0.4.0",
    up: 22_200,
    answered: 9,
    runs: { "media.transcode": 2, "media.thumbnail": 18 },
  },
  {
    host: "media-2",
    pid: 4121,
    queues: ["media"],
    concurrency: 20,
    release: "0.4.0",
    up: 22_200,
    answered: 24,
    runs: { "media.transcode": 2, "media.thumbnail": 11 },
  },
  {
    host: "worker-4",
    pid: 6021,
    queues: ["webhooks"],
    concurrency: 20,
    release: "0.3.2",
    up: 90_000,
    answered: 724,
    runs: {},
  },
];

/** A name of a host that its machine would not have. */
const HOSTILE_HOST = `worker-4.<b>"${"long".repeat(12)}`;

/** The scene's consumers. */
export interface SceneConsumers {
  /** Has each claim what it runs. */
  claimAll(): Promise<void>;
  /** Renews their leases as of now, so that each has answered as long ago as the scene has it. */
  renew(): Promise<void>;
}

/** Registers consumers that know tasks of these names: live ones, a silent one, a dead one; or `only` the one of a host. */
export async function registerSceneConsumers(
  db: TestDatabase,
  names: string[],
  { only, hostile = false }: { only?: string; hostile?: boolean } = {},
): Promise<SceneConsumers> {
  const ids = new Map<SceneConsumer, string>();
  for (const consumer of CONSUMERS.filter(({ host }) => only === undefined || host === only)) {
    const { host, pid, queues, concurrency, release, up, answered } = consumer;
    const id = await startConsumer(db, { queues, tasks: names });
    await db.sql`
      UPDATE firefly.consumer
      SET host = ${
      hostile && host === "worker-4" ? HOSTILE_HOST : host
    }, pid = ${pid}, concurrency = ${concurrency}, release = ${release}, memory = 120e6 + pid * 1e4,
        version = '0.4.0', started = now() - make_interval(secs => ${up}), seen = now() - make_interval(secs => ${answered}),
        lease_until = now() - make_interval(secs => ${answered}) + interval '30 s'
      WHERE id = ${id}
    `;
    ids.set(consumer, id);
  }
  const live = [...ids].filter(([{ answered }]) => answered < 30);
  return {
    async claimAll() {
      await admitTasks(db.store, { concurrencyKeys: ["gpu", "crm.sync:acme"], rateKeys: [] });
      for (const [{ queues, runs }, consumerId] of ids) {
        for (const [name, limit] of Object.entries(runs)) await claim(db, { consumerId, queues, names: [name], limit });
      }
    },
    async renew() {
      await db.sql`
        UPDATE firefly.consumer
        SET seen = now() - live.answered * interval '1 s', lease_until = now() + (30 - live.answered) * interval '1 s'
        FROM unnest(${live.map(([, id]) => id)}::uuid[], ${live.map(([{ answered }]) => answered)}::integer[])
          AS live (id, answered)
        WHERE consumer.id = live.id
      `;
    },
  };
}

import { type Driver, numberOf, type Payload, type Setup } from "./driver.ts";
import { load, type Pg } from "./packages.ts";

interface Boss {
  on(event: "error", listener: (error: unknown) => void): void;
  start(): Promise<unknown>;
  createQueue(name: string, options: object): Promise<unknown>;
  send(name: string, payload: Payload): Promise<unknown>;
  insert(name: string, jobs: { data: Payload }[], options: object): Promise<unknown>;
  work(name: string, options: object, handler: (jobs: { data: Payload }[]) => Promise<void>): Promise<unknown>;
}

const QUEUE = "noop";

/** pg-boss; with the setting `notify`, its queue notifies and its consumers listen. */
export function openDriver({ url, packages, config }: Setup): Driver {
  const { PgBoss } = load<{ PgBoss: new (options: object) => Boss }>(packages, "pg-boss");
  const pool = new (load<Pg>(packages, "pg")).Pool({ connectionString: url, max: 1 });
  const start = async (listens: boolean) => {
    const options = { connectionString: url, max: 10, supervise: false, schedule: false, useListenNotify: listens };
    const boss = new PgBoss(options);
    boss.on("error", (error) => console.error(error));
    await boss.start();
    return boss;
  };
  return {
    async install() {
      await (await start(false)).createQueue(QUEUE, { notify: config.notify === true });
    },
    async producer() {
      const boss = await start(false);
      return {
        one: (payload) => boss.send(QUEUE, payload),
        many: (payloads) => boss.insert(QUEUE, payloads.map((data) => ({ data })), { returnId: false }),
      };
    },
    async consumer(onTask) {
      const boss = await start(config.notify === true);
      const options = {
        batchSize: numberOf(config, "batchSize"),
        pollingIntervalSeconds: numberOf(config, "pollingIntervalSeconds"),
        localConcurrency: numberOf(config, "localConcurrency"),
        burstWhenBatchFull: true,
      };
      await boss.work(QUEUE, options, async (jobs) => {
        for (const { data } of jobs) await onTask(data);
      });
    },
    async remaining() {
      const text = `SELECT count(*) AS remaining FROM pgboss.job WHERE name = '${QUEUE}' AND state < 'completed'`;
      return Number((await pool.query(text)).rows[0]!.remaining);
    },
  };
}

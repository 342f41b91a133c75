import { type Driver, numberOf, type Payload, type Setup } from "./driver.ts";
import { load } from "./packages.ts";

interface Job {
  readonly data: Payload;
  waitUntilFinished(events: object): Promise<unknown>;
}

interface Queue {
  waitUntilReady(): Promise<unknown>;
  add(name: string, data: Payload): Promise<Job>;
  addBulk(jobs: { name: string; data: Payload }[]): Promise<unknown>;
  getJobCounts(...types: string[]): Promise<Record<string, number>>;
}

interface BullMq {
  Queue: new (name: string, options: object) => Queue;
  QueueEvents: new (name: string, options: object) => { waitUntilReady(): Promise<unknown> };
  Worker: new (
    name: string,
    run: (job: Job) => Promise<void>,
    options: object,
  ) => { waitUntilReady(): Promise<unknown> };
}

interface Redis {
  flushdb(): Promise<unknown>;
  info(section: string): Promise<string>;
  config(command: "GET", name: string): Promise<string[]>;
}

const NAME = "noop";

/** BullMQ, in a database of its own of the Redis at 127.0.0.1:6379, which it empties. */
export function openDriver({ packages, config }: Setup): Driver {
  const connection = { host: "127.0.0.1", port: 6379, db: numberOf(config, "redisDatabase") };
  const bull = load<BullMq>(packages, "bullmq");
  const redis = () => new (load<{ Redis: new (options: object) => Redis }>(packages, "ioredis")).Redis(connection);
  let queue: Queue | undefined;
  let asked: Redis | undefined;
  return {
    async install() {
      await (asked ??= redis()).flushdb();
    },
    async producer() {
      const queue = new bull.Queue(NAME, { connection });
      await queue.waitUntilReady();
      const events = config.events ? new bull.QueueEvents(NAME, { connection }) : undefined;
      await events?.waitUntilReady();
      return {
        one: (data) => queue.add(NAME, data),
        many: (payloads) => queue.addBulk(payloads.map((data) => ({ name: NAME, data }))),
        result: async (data) => await (await queue.add(NAME, data)).waitUntilFinished(events!),
      };
    },
    async consumer(onTask) {
      const run = async ({ data }: Job) => await onTask(data);
      const concurrency = numberOf(config, "concurrency");
      await new bull.Worker(NAME, run, { connection: { ...connection, maxRetriesPerRequest: null }, concurrency })
        .waitUntilReady();
    },
    async remaining() {
      queue ??= new bull.Queue(NAME, { connection });
      const { wait, active } = await queue.getJobCounts("wait", "active");
      return wait! + active!;
    },
    async serverCpu() {
      const text = await (asked ??= redis()).info("cpu");
      const seconds = ["used_cpu_sys", "used_cpu_user"].map((name) =>
        Number(new RegExp(`^${name}:([\\d.]+)`, "m").exec(text)![1])
      );
      return (seconds[0]! + seconds[1]!) * 1000;
    },
  };
}

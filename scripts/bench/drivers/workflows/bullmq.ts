import { load } from "../packages.ts";
import { numberOf, type Setup } from "../driver.ts";
import { Countdown, type Hooks, lanes, LENGTH, type WorkflowDriver } from "./driver.ts";

interface Job {
  readonly name: string;
  readonly data: { readonly workflow: number };
  getChildrenValues(): Promise<Record<string, number>>;
}

interface Flow {
  name: string;
  queueName: string;
  data: { workflow: number };
  children?: Flow[];
}

interface BullMq {
  FlowProducer: new (options: object) => { add(flow: Flow): Promise<unknown> };
  Worker: new (
    name: string,
    run: (job: Job) => Promise<number>,
    options: object,
  ) => { waitUntilReady(): Promise<unknown>; close(): Promise<void> };
}

interface Redis {
  flushdb(): Promise<unknown>;
  info(section: string): Promise<string>;
  quit(): Promise<unknown>;
}

const QUEUE = "flows";

/** The flows of BullMQ, in a database of its own of the Redis at 127.0.0.1:6379, which it empties. */
export function openWorkflows({ packages, config }: Setup): WorkflowDriver {
  const connection = { host: "127.0.0.1", port: 6379, db: numberOf(config, "redisDatabase") };
  const bull = load<BullMq>(packages, "bullmq");
  const redis = () => new (load<{ Redis: new (options: object) => Redis }>(packages, "ioredis")).Redis(connection);
  let hooks: Hooks;
  let asked: Redis | undefined;
  let producer: InstanceType<BullMq["FlowProducer"]> | undefined;
  let worker: InstanceType<BullMq["Worker"]> | undefined;
  let onEnd: (workflow: number) => void = () => {};

  async function run(job: Job): Promise<number> {
    if (job.name !== "fan in") hooks.onDone();
    if (job.name === "member") return 1;
    const numbers = Object.values(await job.getChildrenValues());
    if (job.name !== "link") onEnd(job.data.workflow);
    return numbers.reduce((a, b) => a + b, 0);
  }

  return {
    async install() {
      const own = redis();
      await own.flushdb();
      await own.quit();
    },
    async start(given, at) {
      hooks = given;
      producer ??= new bull.FlowProducer({ connection });
      worker = new bull.Worker(QUEUE, run, {
        connection: { ...connection, maxRetriesPerRequest: null },
        concurrency: at,
      });
      await worker.waitUntilReady();
    },
    async run(kind, { count, at, width }) {
      const countdown = new Countdown(count);
      const running = new Map<number, () => void>();
      onEnd = (workflow) => {
        running.get(workflow)!();
        countdown.one();
      };
      await lanes(kind === "fan" ? 1 : at, count, async (workflow) => {
        const ended = new Promise<void>((resolve) => running.set(workflow, resolve));
        await producer!.add(kind === "fan" ? fanOf(workflow, width) : chainOf(workflow));
        await ended;
      });
      await countdown.done;
      await worker!.close();
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

function fanOf(workflow: number, width: number): Flow {
  const member = () => ({ name: "member", queueName: QUEUE, data: { workflow } });
  return { name: "fan in", queueName: QUEUE, data: { workflow }, children: Array.from({ length: width }, member) };
}

/** Ten links, the last of which tells of the end. */
function chainOf(workflow: number): Flow {
  let flow: Flow = { name: "member", queueName: QUEUE, data: { workflow } };
  for (let i = 2; i < LENGTH; i++) flow = { name: "link", queueName: QUEUE, data: { workflow }, children: [flow] };
  return { name: "last", queueName: QUEUE, data: { workflow }, children: [flow] };
}

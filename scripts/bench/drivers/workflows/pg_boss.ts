import { load } from "../packages.ts";
import { numberOf, type Setup } from "../driver.ts";
import { Countdown, type Hooks, lanes, LENGTH, type WorkflowDriver } from "./driver.ts";

interface Job {
  readonly data: { readonly workflow: number; readonly i: number };
}

interface FlowJob {
  ref: string;
  name: string;
  data: object;
  dependsOn?: string[];
}

interface Boss {
  start(): Promise<unknown>;
  stop(options: object): Promise<void>;
  createQueue(name: string): Promise<void>;
  work(name: string, options: object, run: (jobs: Job[]) => Promise<void>): Promise<string>;
  flow(jobs: FlowJob[]): Promise<unknown>;
  on(event: "error", listener: (error: Error) => void): void;
}

const [MEMBER, LAST] = ["member", "last"];

/** The flows of pg-boss: a job whose dependencies have ended is found by polling. */
export function openWorkflows({ url, packages, config }: Setup): WorkflowDriver {
  const { PgBoss } = load<{ PgBoss: new (options: object) => Boss }>(packages, "pg-boss");
  const open = (more: object) => {
    const boss = new PgBoss({ connectionString: url, schedule: false, max: 10, ...more });
    boss.on("error", (error) => console.error(error));
    return boss;
  };
  let hooks: Hooks;
  let boss: Boss | undefined;
  let onEnd: (workflow: number) => void = () => {};
  return {
    async install() {
      const own = open({ supervise: false });
      await own.start();
      for (const name of [MEMBER, LAST]) await own.createQueue(name!);
      await own.stop({ graceful: false });
    },
    async start(given) {
      hooks = given;
      if (boss) return;
      boss = open({ flowIntervalSeconds: numberOf(config, "flowIntervalSeconds") });
      await boss.start();
      const pollingIntervalSeconds = numberOf(config, "pollingIntervalSeconds");
      const options = { batchSize: numberOf(config, "batchSize"), pollingIntervalSeconds };
      await boss.work(MEMBER!, options, (jobs) => {
        for (const _ of jobs) hooks.onDone();
        return Promise.resolve();
      });
      await boss.work(LAST!, options, (jobs) => {
        for (const { data: { workflow } } of jobs) onEnd(workflow);
        return Promise.resolve();
      });
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
        await boss!.flow(kind === "fan" ? fanOf(workflow, width) : chainOf(workflow));
        await ended;
      });
      await countdown.done;
    },
  };
}

function fanOf(workflow: number, width: number): FlowJob[] {
  const members = Array.from({ length: width }, (_, i) => ({ ref: `${i}`, name: MEMBER!, data: { workflow, i } }));
  return [...members, { ref: "last", name: LAST!, data: { workflow }, dependsOn: members.map(({ ref }) => ref) }];
}

/** Ten links, and what tells of the end. */
function chainOf(workflow: number): FlowJob[] {
  const links = Array.from({ length: LENGTH }, (_, i) => ({
    ref: `${i}`,
    name: MEMBER!,
    data: { workflow, i },
    ...i === 0 ? {} : { dependsOn: [`${i - 1}`] },
  }));
  return [...links, { ref: "last", name: LAST!, data: { workflow }, dependsOn: [`${LENGTH - 1}`] }];
}

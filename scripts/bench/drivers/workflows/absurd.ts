import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { load, type Pg, type Pool } from "../packages.ts";
import { numberOf, type Setup } from "../driver.ts";
import { Countdown, type Hooks, lanes, LENGTH, LONG, type WorkflowDriver } from "./driver.ts";

interface Context {
  step<T>(name: string, fn: () => Promise<T>): Promise<T>;
  sleepFor(name: string, seconds: number): Promise<void>;
  awaitEvent(name: string): Promise<{ sent: number }>;
  awaitTaskResult(id: string, options: { queue: string }): Promise<{ state: string; result: number }>;
}

interface Params {
  readonly workflow: number;
  readonly i: number;
  readonly width: number;
}

interface Absurd {
  createQueue(name: string): Promise<void>;
  registerTask(options: { name: string }, handler: (params: Params, context: Context) => Promise<unknown>): void;
  spawn(name: string, params: Params, options?: { queue: string }): Promise<{ taskID: string }>;
  startWorker(options: object): Promise<{ close(): Promise<void> }>;
  emitEvent(name: string, payload: { sent: number }): Promise<void>;
}

type Sdk = { Absurd: new (options: object) => Absurd };

/** A task can wait for those of another queue alone. */
const [QUEUE, MEMBERS] = ["bench", "bench_members"];
const SILENT = { log() {}, info() {}, warn() {}, error: console.error };

/** Absurd, with a worker that polls more often than by default. */
export function openWorkflows({ url, packages, config }: Setup): WorkflowDriver {
  const { Absurd } = load<Sdk>(packages, "absurd-sdk");
  const { Pool } = load<Pg>(packages, "pg");
  const pollInterval = numberOf(config, "pollInterval");
  let db: Pool | undefined;
  const open = (queueName: string) =>
    new Absurd({
      db: db ??= new Pool({ connectionString: url, max: numberOf(config, "connections") }),
      queueName,
      log: SILENT,
    });
  let hooks: Hooks;
  let app: Absurd | undefined;
  let members: Absurd | undefined;
  let workers: { close(): Promise<void> }[] = [];
  let onEnd: (workflow: number) => void = () => {};
  const spawn = (name: string, workflow: number, width = 0) => app!.spawn(name, { workflow, i: 1, width });

  function register(): void {
    const step = (context: Context, name: string) =>
      context.step(name, () => {
        hooks.onDone();
        return Promise.resolve(1);
      });
    app!.registerTask({ name: "steps" }, async ({ workflow }, context) => {
      for (let i = 0; i < LENGTH; i++) await step(context, `step ${i}`);
      onEnd(workflow);
    });
    members!.registerTask({ name: "member" }, ({ i }) => {
      hooks.onDone();
      return Promise.resolve(i);
    });
    app!.registerTask({ name: "fan" }, async ({ workflow, width }, context) => {
      const ids = await context.step("members", async () => {
        const ids: string[] = [];
        await lanes(20, width, async (i) => {
          ids.push((await members!.spawn("member", { workflow, i, width: 0 })).taskID);
        });
        return ids;
      });
      let sum = 0;
      for (const id of ids) sum += (await context.awaitTaskResult(id, { queue: MEMBERS! })).result;
      onEnd(workflow);
      return sum;
    });
    app!.registerTask({ name: "chain" }, async ({ workflow, i }, context) => {
      hooks.onDone();
      if (i === LENGTH) return onEnd(workflow);
      await context.step("next", async () => (await app!.spawn("chain", { workflow, i: i + 1, width: 0 })).taskID);
    });
    app!.registerTask({ name: "sleep" }, async ({ workflow }, context) => {
      await step(context, "before");
      await context.sleepFor("sleep", 1);
      await step(context, "after");
      onEnd(workflow);
    });
    app!.registerTask({ name: "asleep" }, async (_, context) => {
      hooks.onWait();
      await context.sleepFor("sleep", LONG);
    });
    app!.registerTask({ name: "waiting" }, async ({ workflow }, context) => {
      hooks.onWait();
      hooks.onGoOn((await context.awaitEvent(`go ${workflow}`)).sent);
    });
  }

  return {
    async install() {
      const pool = new Pool({ connectionString: url, max: 1 });
      await pool.query(await readFile(join(packages, "absurd.sql"), "utf8"));
      for (const name of [QUEUE, MEMBERS]) {
        await new Absurd({ db: pool, queueName: name, log: SILENT }).createQueue(name!);
      }
      await pool.query("CREATE TABLE effect (workflow integer NOT NULL, i integer NOT NULL)");
      await pool.end();
    },
    async start(given, at) {
      hooks = given;
      if (!app) {
        [app, members] = [open(QUEUE!), open(MEMBERS!)];
        register();
      }
      const options = { concurrency: at, pollInterval, claimTimeout: 600, onError: console.error };
      workers = [await app.startWorker(options), await members!.startWorker(options)];
    },
    async run(kind, { count, at, width }) {
      const countdown = new Countdown(count);
      const running = new Map<number, () => void>();
      onEnd = (workflow) => {
        running.get(workflow)?.();
        countdown.one();
      };
      // Chains follow each other in their lanes; all else is spawned as fast as it goes.
      const follows = kind === "chain" || kind === "fan";
      await lanes(kind === "fan" ? 1 : follows ? at : 20, count, async (workflow) => {
        const ended = new Promise<void>((resolve) => running.set(workflow, resolve));
        await spawn(kind, workflow, width);
        if (follows) await ended;
      });
      await countdown.done;
      await Promise.all(workers.map((worker) => worker.close()));
    },
    async begin(kind, count) {
      const names = Array.from({ length: count }, (_, i) => `go ${i}`);
      await lanes(20, count, (workflow) => spawn(kind, workflow));
      return names;
    },
    async signal(address, sent) {
      await (app ??= open(QUEUE!)).emitEvent(String(address), { sent });
    },
  };
}

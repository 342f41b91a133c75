import { type Driver, numberOf, type Payload, type Setup } from "./driver.ts";
import { load, type Pg } from "./packages.ts";

interface Utils {
  migrate(): Promise<void>;
  addJob(name: string, payload: Payload): Promise<unknown>;
  addJobs(jobs: { identifier: string; payload: Payload }[]): Promise<unknown>;
}

interface Graphile {
  Logger: new (factory: () => () => void) => object;
  makeWorkerUtils(options: object): Promise<Utils>;
  run(options: object): Promise<object>;
}

/** Graphile Worker; with the setting `localQueue`, as its documentation says that it is fastest. */
export function openDriver({ url, packages, config }: Setup): Driver {
  const { Logger, makeWorkerUtils, run } = load<Graphile>(packages, "graphile-worker");
  const logger = new Logger(() => () => {});
  const pgPool = new (load<Pg>(packages, "pg")).Pool({ connectionString: url, max: 10 });
  return {
    async install() {
      await (await makeWorkerUtils({ pgPool, logger })).migrate();
    },
    async producer() {
      const utils = await makeWorkerUtils({ pgPool, logger });
      return {
        one: (payload) => utils.addJob("noop", payload),
        many: (payloads) => utils.addJobs(payloads.map((payload) => ({ identifier: "noop", payload }))),
      };
    },
    async consumer(onTask) {
      const size = config.localQueue;
      const batched = { localQueue: { size }, completeJobBatchDelay: 0, failJobBatchDelay: 0 };
      const worker = {
        connectionString: url,
        logger,
        concurrentJobs: numberOf(config, "concurrentJobs"),
        maxPoolSize: numberOf(config, "maxPoolSize"),
        ...(size ? batched : {}),
      };
      const taskList = { noop: async (payload: Payload) => await onTask(payload) };
      await run({ taskList, noHandleSignals: true, logger, preset: { worker } });
    },
    async remaining() {
      const { rows } = await pgPool.query("SELECT count(*) AS remaining FROM graphile_worker._private_jobs");
      return Number(rows[0]!.remaining);
    },
  };
}

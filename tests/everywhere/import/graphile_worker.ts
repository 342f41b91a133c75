import { configure, task } from "@firefly/tasks";
import { importFromGraphileWorker } from "@firefly/tasks/import";
import { Logger, makeWorkerUtils, run } from "graphile-worker";
import assert from "node:assert/strict";
import process from "node:process";
import { check, library } from "../check.ts";

library("@firefly/tasks");
library("graphile-worker");
const ff = configure({});
const ran: { where: string; n: number }[] = [];
task("mail.send", ({ n }: { n: number }) => void ran.push({ where: "firefly", n }));

const options = {
  connectionString: process.env.FIREFLY_DATABASE_URL!,
  logger: new Logger(() => () => {}),
};
const utils = await makeWorkerUtils(options);
await utils.migrate();
await utils.addJobs(Array.from({ length: 500 }, (_, n) => ({ identifier: "mail.send", payload: { n } })));
await utils.release();
const runner = await run({
  ...options,
  concurrency: 2,
  noHandleSignals: true,
  taskList: {
    "mail.send": async (payload) => {
      ran.push({ where: "graphile-worker", n: (payload as { n: number }).n });
      await new Promise((resolve) => setTimeout(resolve, 5));
    },
  },
});

await check("importFromGraphileWorker() moves what waits while workers run, each job once", async () => {
  while (ran.length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
  const report = await importFromGraphileWorker();
  assert.ok(report.imported > 0, JSON.stringify(report));
  await ff.consume({ drain: true }).finished;
  while (ran.length < 500) await new Promise((resolve) => setTimeout(resolve, 10));
  assert.deepEqual(ran.map(({ n }) => n).sort((a, b) => a - b), Array.from({ length: 500 }, (_, n) => n));
  assert.equal(ran.filter(({ where }) => where === "firefly").length, report.imported);
});

await runner.stop();
await ff.close();

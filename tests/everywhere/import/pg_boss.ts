import { configure, task } from "@firefly/tasks";
import { importFromPgBoss } from "@firefly/tasks/import";
import assert from "node:assert/strict";
import process from "node:process";
import { PgBoss } from "pg-boss";
import { check, library } from "../check.ts";

library("@firefly/tasks");
library("pg-boss");
const ff = configure({});
const ran: { where: string; n: number }[] = [];
task("mail.send", ({ n }: { n: number }) => void ran.push({ where: "firefly", n }));

const boss = new PgBoss({ connectionString: process.env.FIREFLY_DATABASE_URL!, supervise: false, schedule: false });
await boss.start();

await check("importFromPgBoss() moves what waits while a worker runs, each job once", async () => {
  await boss.createQueue("mail.send");
  await boss.insert("mail.send", Array.from({ length: 500 }, (_, n) => ({ data: { n } })));
  await boss.work<{ n: number }>("mail.send", { batchSize: 20 }, (jobs) => {
    for (const { data: { n } } of jobs) ran.push({ where: "pg-boss", n });
    return Promise.resolve();
  });
  while (ran.length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
  const report = await importFromPgBoss();
  assert.ok(report.imported > 0, JSON.stringify(report));
  await ff.consume({ drain: true }).finished;
  while (ran.length < 500) await new Promise((resolve) => setTimeout(resolve, 10));
  assert.deepEqual(ran.map(({ n }) => n).sort((a, b) => a - b), Array.from({ length: 500 }, (_, n) => n));
  assert.equal(ran.filter(({ where }) => where === "firefly").length, report.imported);
});

await boss.stop({ graceful: true, close: true });
await ff.close();

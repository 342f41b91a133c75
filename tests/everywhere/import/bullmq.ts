// Needs: REDIS_URL
import { configure, task } from "@firefly/tasks";
import { importFromBullMQ } from "@firefly/tasks/import";
import { Queue, Worker } from "bullmq";
import { Redis } from "ioredis";
import { execFile } from "node:child_process";
import assert from "node:assert/strict";
import { rmSync, writeFileSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { check, library } from "../check.ts";

library("@firefly/tasks");
library("bullmq");
library("ioredis");
const ff = configure({});
const ran: { where: string; n: number }[] = [];
task("mail.send", ({ n }: { n: number }) => void ran.push({ where: "firefly", n }));

// Programs on other runtimes have the same Redis.
const prefix = `firefly-${crypto.randomUUID()}`;
const redis = new Redis(process.env.REDIS_URL!, { maxRetriesPerRequest: null });
const queue = new Queue("mail", { connection: redis, prefix });

await check("importFromBullMQ() moves what waits while a worker runs, each job once", async () => {
  await queue.addBulk(Array.from({ length: 500 }, (_, n) => ({ name: "mail.send", data: { n } })));
  const worker = new Worker<{ n: number }>("mail", async (job) => {
    ran.push({ where: "bullmq", n: job.data.n });
    await new Promise((resolve) => setTimeout(resolve, 5));
  }, { connection: { url: process.env.REDIS_URL! }, prefix, concurrency: 2 });
  while (ran.length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
  const report = await importFromBullMQ({ connection: redis, prefix });
  assert.ok(report.imported > 0, JSON.stringify(report));
  await ff.consume({ drain: true }).finished;
  while (ran.length < 500) await new Promise((resolve) => setTimeout(resolve, 10));
  assert.deepEqual(ran.map(({ n }) => n).sort((a, b) => a - b), Array.from({ length: 500 }, (_, n) => n));
  assert.equal(ran.filter(({ where }) => where === "firefly").length, report.imported);
  await worker.close();
});

await check("firefly import bullmq connects by the client of Redis that the project has", async () => {
  await queue.add("mail.send", { n: 500 });
  const module = new URL(`./tasks-${process.pid}.ts`, import.meta.url);
  writeFileSync(module, 'import { task } from "@firefly/tasks";\ntask("mail.send", () => {});\n');
  // As `npx firefly` runs it; on Deno, the sources.
  const command = process.versions.deno
    ? ["run", "-A", "--quiet", fileURLToPath(new URL("../firefly/cli.ts", import.meta.url))]
    : [fileURLToPath(new URL("../node_modules/@firefly/tasks/dist/firefly.js", import.meta.url))];
  const args = ["import", "bullmq", "--import", fileURLToPath(module), "--prefix", prefix, "--yes", "--json"];
  const { stdout } = await promisify(execFile)(process.execPath, [...command, ...args]);
  rmSync(module);
  const { imported, jobs } = JSON.parse(stdout);
  assert.deepEqual([imported, jobs[0].source_queue], [1, "mail"]);
});

await queue.obliterate({ force: true });
await queue.close();
redis.disconnect();
await ff.close();

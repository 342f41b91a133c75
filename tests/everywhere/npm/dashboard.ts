import { configure, task } from "@firefly/tasks";
import { dashboard } from "@firefly/tasks/dashboard";
import { writeMetrics } from "@firefly/tasks/metrics";
import assert from "node:assert/strict";
import { check, library } from "../check.ts";
import { application, firefly, start } from "./support/app.ts";

library("@firefly/tasks");
const ff = configure({});
const row = await task({ name: "shown" }, () => {}).schedule();

await check("firefly dashboard serves pages, and pauses a queue", async () => {
  const server = start(firefly("dashboard", "--port", "0"), {
    cwd: application({}),
  });
  const [url] = await server.waitFor(/http:\/\/127\.0\.0\.1:\d+/);
  const home = await fetch(url);
  assert.equal(home.status, 200);
  assert.match(await home.text(), /<title>/);
  const page = await fetch(new URL(`/tasks/${row.id}`, url));
  const html = await page.text();
  assert.match(html, /shown/);
  const asset = /(?:href|src)="([^"]+\.(?:css|js))"/.exec(html)![1]!;
  assert.equal((await fetch(new URL(asset, page.url))).status, 200);
  const pause = { method: "POST", body: new URLSearchParams({ name: "default" }), redirect: "manual" } as const;
  const foreign = await fetch(new URL("/queues/pause", url), { ...pause, headers: { Origin: "http://elsewhere" } });
  assert.equal(foreign.status, 403, await foreign.text());
  const same = await fetch(new URL("/queues/pause", url), { ...pause, headers: { Origin: url } });
  assert.equal(same.status, 303, await same.text());
  assert.equal((await ff.queues()).find(({ name }) => name === "default")?.paused, true);
  server.kill("SIGTERM");
  await server.ended;
});

await check(
  "dashboard() answers requests of a server of one's own",
  async () => {
    const board = dashboard({ firefly: ff, open: true, basePath: "/firefly" });
    const response = await board.fetch(
      new Request(`http://localhost/firefly/tasks/${row.id}`),
    );
    assert.equal(response.status, 200);
    assert.match(await response.text(), /shown/);
  },
);

await check("writeMetrics() answers Prometheus", async () => {
  assert.match(await writeMetrics(ff), /^# HELP firefly_/m);
});

await ff.close();

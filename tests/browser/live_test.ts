import { assert, assertEquals } from "@std/assert";
import { current, Firefly, signal, task } from "../../mod.ts";
import { TestBrowser, WITH_BROWSER } from "../support/browser.ts";
import { serveDashboard } from "../support/dashboard_pages.ts";
import { mailWelcome, searchIndex } from "../support/dashboard_tasks.ts";
import { busyScene, quietScene } from "../support/dashboard_scene.ts";
import { testDatabase } from "../support/database.ts";
import { TcpProxy } from "../support/tcp_proxy.ts";
import { until } from "../support/waiting.ts";

let browser: TestBrowser;
Deno.test.beforeAll(async () => {
  if (!WITH_BROWSER.ignore) browser = await TestBrowser.start();
});
Deno.test.afterAll(() => browser?.[Symbol.asyncDispose]());

Deno.test("an open page follows what happens, and its rows stay where they are", WITH_BROWSER, async () => {
  await using db = await testDatabase();
  await using scene = await busyScene(db);
  await using server = serveDashboard({ firefly: scene.ff });
  await using open = await browser.open();
  const { page } = open;
  await page.goto(`${server.url}/tasks`);
  const tasks = () => page.locator("tbody tr").evaluateAll((rows) => rows.map((row) => row.getAttribute("data-href")));
  const before = await tasks();
  assert(before.length > 10);

  await scene.ff.run(() => mailWelcome.scheduleMany([[1], [2], [3]]));

  const show = page.getByRole("button", { name: "3 newer · Show" });
  await show.waitFor();
  assertEquals(await tasks(), before);
  await show.click();
  await show.waitFor({ state: "detached" });
  await until(async () => String((await tasks()).slice(3, 8)) === String(before.slice(0, 5)));
  assertEquals(open.problems, []);
});

Deno.test(
  "the page of a task shows a log line that is kept while it is open, the first one too",
  WITH_BROWSER,
  async () => {
    await using db = await testDatabase();
    await using ff = await quietScene(db);
    await using server = serveDashboard({ firefly: ff });
    await using open = await browser.open();
    const { page } = open;
    const { id } = await ff.run(() => searchIndex.schedule("a"));
    await page.goto(`${server.url}/tasks/${id}`);
    assertEquals(await page.locator(".log").count(), 0);
    assertEquals(await page.locator("#log-lines").isVisible(), false);

    for (const message of ["first", "second"]) {
      await db.sql`INSERT INTO firefly.task_log (task_id, attempt, at, level, message)
      VALUES (${id}, 1, now(), 'warn', ${message})`;
      await page.locator(".log li", { hasText: message }).waitFor();
    }

    assertEquals(await page.locator(".log li:last-child").innerText().then((text) => text.split("\n").slice(1)), [
      "warn",
      "second",
    ]);
    assertEquals(open.problems, []);
  },
);

Deno.test("live updates stop while they are paused, and go on", WITH_BROWSER, async () => {
  await using db = await testDatabase();
  await using ff = await quietScene(db);
  await using server = serveDashboard({ firefly: ff });
  await using open = await browser.open();
  const { page } = open;
  await page.goto(server.url);
  await using follower = await browser.open(); // it is not paused
  await follower.page.goto(server.url);
  const due = page.locator(".tiles a").first().locator("b");
  assertEquals(await due.innerText(), "0");
  await page.locator("#live:not([hidden])").waitFor();
  await page.keyboard.press("p");
  assertEquals(await page.locator("#live").innerText(), "Paused");

  await ff.run(() => searchIndex.scheduleMany([["a"], ["b"]]));
  await until(async () => await follower.page.locator(".tiles a").first().locator("b").innerText() === "2");
  assertEquals(await due.innerText(), "0");

  await page.keyboard.press("p");
  await until(async () => await due.innerText() === "2");
});

Deno.test("a page says that its server is gone, and goes on once it is back", WITH_BROWSER, async () => {
  await using db = await testDatabase();
  await using ff = await quietScene(db);
  await using server = serveDashboard({ firefly: ff });
  await using open = await browser.open();
  const { page } = open;
  await page.goto(server.url);
  const live = page.locator("#live");
  await until(async () => await live.innerText() === "Live");

  await server.stop();
  await until(async () => /Reconnecting/.test(await live.innerText()));
  assert(await page.locator("h1").isVisible());

  await ff.run(() => searchIndex.scheduleMany([["a"]]));
  server.restart();
  await until(async () => await live.innerText() === "Live");
  await until(async () => await page.locator(".tiles a").first().locator("b").innerText() === "1");
});

Deno.test(
  "a page says that the database is gone, keeps what it shows, and goes on once it is back",
  WITH_BROWSER,
  async () => {
    await using db = await testDatabase();
    await using quiet = await quietScene(db);
    await using proxy = await TcpProxy.start(db.url);
    await using ff = new Firefly({ database: proxy.through(db.url) });
    await using server = serveDashboard({ firefly: ff });
    await using open = await browser.open();
    const { page } = open;
    const due = page.locator(".tiles a").first().locator("b");
    await page.goto(server.url);
    const live = page.locator("#live");
    await until(async () => await live.innerText() === "Live");

    proxy.mode = "reject";
    proxy.cut();
    await until(async () => /Reconnecting/.test(await live.innerText()));
    assertEquals(await due.innerText(), "0");
    await quiet.run(() => searchIndex.scheduleMany([["a"]]));

    proxy.mode = "pass";
    await until(async () => await live.innerText() === "Live");
    await until(async () => await due.innerText() === "1");
  },
);

Deno.test("pages are used by keys, which can be switched off", WITH_BROWSER, async () => {
  await using db = await testDatabase();
  await using scene = await busyScene(db);
  await using server = serveDashboard({ firefly: scene.ff });
  await using open = await browser.open();
  const { page } = open;
  const focus = () => page.evaluate("document.activeElement.id") as Promise<string>;
  const marked = () =>
    page.evaluate(`[...document.querySelectorAll("tr[data-href]")].findIndex((row) => row.ariaCurrent === "true")`);
  await page.goto(`${server.url}/tasks?q=status:failed`);
  await page.keyboard.press("Tab");
  assertEquals(await page.evaluate("document.activeElement.className"), "skip");

  await page.keyboard.press("j");
  await page.keyboard.press("j");
  assertEquals(await marked(), 1);
  await page.keyboard.press("k");
  assertEquals(await marked(), 0);
  await page.keyboard.press("Enter");
  await page.waitForURL(/\/tasks\/\d+/);
  await page.goto(`${server.url}/tasks?q=status:failed`);
  await page.keyboard.press("j");
  await page.keyboard.press("x");
  assertEquals(await page.locator("[data-picked]").innerText(), "1 selected");
  await page.keyboard.press("/");
  assertEquals(await focus(), "q");
  await page.keyboard.type("gq?");
  assert(page.url().includes("/tasks"));
  assertEquals(await page.locator("#keys").isVisible(), false);
  await page.evaluate("document.activeElement.blur()");
  await page.keyboard.press("g");
  await page.keyboard.press("q");
  await page.waitForURL(/\/queues$/);

  await page.keyboard.press("?");
  await page.locator("#keys[open]").waitFor();
  await page.click("#keys-off");
  await page.keyboard.press("Escape");
  await page.keyboard.press("g");
  await page.keyboard.press("t");
  await page.goto(`${server.url}/crons`);
  await page.keyboard.press("?");
  assertEquals(await page.locator("#keys").isVisible(), false);
});

Deno.test("the theme is chosen by a button and kept", WITH_BROWSER, async () => {
  await using db = await testDatabase();
  await using ff = await quietScene(db);
  await using server = serveDashboard({ firefly: ff });
  await using open = await browser.open({ colorScheme: "light" });
  const { page } = open;
  const ink = () => page.evaluate("getComputedStyle(document.body).color") as Promise<string>;
  await page.goto(server.url);
  const light = await ink();
  await page.click("#theme");
  await page.click("#theme");
  const dark = await ink();
  assert(light !== dark);
  await page.reload();
  assertEquals(await ink(), dark);
});

Deno.test("the page of a task shows each step as it ends, and what its handler waits for", WITH_BROWSER, async () => {
  await using db = await testDatabase();
  await using ff = await quietScene(db);
  await using server = serveDashboard({ firefly: ff });
  await using open = await browser.open();
  const { page } = open;
  const gates = new Map(["first", "second"].map((name) => [name, Promise.withResolvers<void>()]));
  const approved = signal("approved");
  const order = task("browser.steps", async () => {
    const { step } = current();
    for (const [name, { promise }] of gates) await step(name, () => promise);
    await step.waitFor(approved);
  });
  const { id } = await ff.run(() => order.schedule());
  const consumer = ff.consume({ tasks: [order] });
  await page.goto(`${server.url}/tasks/${id}`);
  const rows = page.locator(".steps-table tbody tr");
  assertEquals(await rows.count(), 0);

  for (const [index, [name, { resolve }]] of [...gates].entries()) {
    resolve();
    await rows.nth(index).filter({ hasText: name }).waitFor();
  }
  const wait = rows.nth(2).filter({ hasText: "approved" });
  await wait.locator("td .wait").waitFor({ state: "attached" }); // a line has no area that could be visible
  assertEquals(await page.locator(".head .s").innerText(), "Suspended");

  await page.locator(".tell").getByRole("link", { name: "Signal…" }).click();
  const dialog = page.locator("dialog[open]");
  await dialog.getByRole("button", { name: "Send" }).click();
  await until(async () => (await ff.tasks.get(id)).status === "completed");
  await until(async () => await page.locator(".head .s").innerText() === "Completed");
  assertEquals(await rows.locator("td .s").allInnerTexts(), ["Completed", "Completed", "Completed"]);
  await consumer.stop();
  assertEquals(open.problems, []);
});

import { assert, assertEquals, assertMatch } from "@std/assert";
import type { BrowserContextOptions, Page } from "playwright-core";
import { type OpenPage, TestBrowser, WITH_BROWSER } from "../support/browser.ts";
import { serveDashboard, type ServedDashboard } from "../support/dashboard_pages.ts";
import { busyScene, type Scene } from "../support/dashboard_scene.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { until } from "../support/waiting.ts";

let browser: TestBrowser;
Deno.test.beforeAll(async () => {
  if (!WITH_BROWSER.ignore) browser = await TestBrowser.start();
});
Deno.test.afterAll(() => browser?.[Symbol.asyncDispose]());

interface Stage {
  readonly page: Page;
  readonly url: string;
  readonly db: TestDatabase;
  readonly ids: Scene["ids"];
}

/** Declares a test with a page, a dashboard and a scene of its own. */
function browserTest(name: string, act: (stage: Stage) => Promise<void>, options: BrowserContextOptions = {}): void {
  Deno.test(name, WITH_BROWSER, async () => {
    await using db = await testDatabase();
    await using scene: Scene = await busyScene(db);
    await using server: ServedDashboard = serveDashboard({ firefly: scene.ff });
    await using open: OpenPage = await browser.open(options);
    await act({ page: open.page, url: server.url, db, ids: scene.ids });
    // A browser reports a form that is shown again with its mistakes.
    assertEquals(open.problems.filter((problem) => !problem.includes("status of 422")), []);
  });
}

async function countFailed(db: TestDatabase, name: string): Promise<number> {
  const [row] = await db.sql`
    SELECT count(*)::integer AS n FROM firefly.task WHERE status = 'failed' AND func_name = ${name}
  `;
  return row!.n;
}

async function isPaused(db: TestDatabase, queue: string): Promise<boolean> {
  const [row] = await db.sql`SELECT paused FROM firefly.queue WHERE name = ${queue}`;
  return row?.paused ?? false;
}

const rows = (page: Page) => page.locator("table tbody tr");

browserTest(
  "a filter of tokens is typed and taken away again, and a number leads to its task",
  async ({ page, url, ids }) => {
    await page.goto(`${url}/tasks`);
    await page.fill("#q", "status:failed name:mail.send");
    await page.keyboard.press("Enter");
    await page.waitForURL(/q=/);

    assertEquals(new URL(page.url()).searchParams.get("q"), "status:failed name:mail.send");
    const names = await rows(page).locator("a.name").allTextContents();
    assert(names.length > 20 && names.every((name) => name === "mail.send"), String(names));

    await page.getByRole("link", { name: "Without name: mail.send" }).click();
    await page.waitForFunction(`!location.search.includes("mail.send")`);
    assertEquals(new URL(page.url()).searchParams.get("q"), "status:failed");

    await page.goto(url);
    await page.fill("#find", String(ids.failed));
    await page.keyboard.press("Enter");
    await page.waitForURL(new RegExp(`/tasks/${ids.failed}$`));
    assertMatch(await page.locator("h1").innerText(), /mail\.send/);
  },
);

browserTest("all tasks that match are retried after a question", async ({ page, url, db }) => {
  const before = await countFailed(db, "mail.send");
  await page.goto(`${url}/tasks?q=${encodeURIComponent("status:failed name:mail.send")}`);
  await page.getByText("All that match").getByRole("link", { name: "Retry…" }).click();
  await page.locator("dialog[open]").getByRole("button", { name: `Retry ${before} tasks` }).click();

  await until(async () => await countFailed(db, "mail.send") === 0);
  assertMatch(await page.locator("main").innerText(), new RegExp(`${before}`));
  assert(await countFailed(db, "reports.nightly") > 0);
});

browserTest(
  "picked tasks are retried after a question in a dialog, which returns the focus",
  async ({ page, url, db }) => {
    const before = await countFailed(db, "mail.send");
    await page.goto(`${url}/tasks?q=${encodeURIComponent("status:failed name:mail.send")}`);
    await rows(page).nth(0).locator("input").check();
    await rows(page).nth(2).locator("input").check();
    const retry = page.locator("[data-key=r]").first();
    await retry.click();
    const dialog = page.locator("dialog[open]");
    await dialog.waitFor();
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "hidden" });
    await page.locator("[data-key=r]:focus").waitFor();

    await retry.click();
    await dialog.getByRole("button", { name: /^Retry 2/ }).click();
    await until(async () => await countFailed(db, "mail.send") === before - 2);
  },
);

browserTest("a queue is paused and resumed", async ({ page, url, db }) => {
  await page.goto(`${url}/queues/mail`);
  await page.getByRole("button", { name: /^Pause/ }).and(page.locator("main *")).first().click();
  await until(() => isPaused(db, "mail"));
  await page.getByRole("button", { name: /^Resume/ }).and(page.locator("main *")).first().click();
  await until(async () => !await isPaused(db, "mail"));
});

browserTest(
  "without JavaScript, tasks are retried, queues paused and tasks scheduled",
  async ({ page, url, db, ids }) => {
    await page.goto(`${url}/tasks/${ids.failed}`);
    await page.getByRole("button", { name: /^Retry/ }).first().click();
    await page.waitForURL(/\/tasks\/\d+/);
    const [retried] = await db.sql`SELECT status FROM firefly.task WHERE id = ${ids.failed}`;
    assertEquals(retried!.status, "created");

    const before = await countFailed(db, "mail.send");
    await page.goto(`${url}/tasks?q=${encodeURIComponent("status:failed name:mail.send")}`);
    await page.getByText("All that match").getByRole("link", { name: "Retry…" }).click();
    await page.getByRole("button", { name: `Retry ${before} tasks` }).click();
    await until(async () => await countFailed(db, "mail.send") === 0);

    await page.goto(`${url}/queues/mail`);
    await page.getByRole("button", { name: /^Pause/ }).first().click();
    await until(() => isPaused(db, "mail"));

    await page.goto(`${url}/new`);
    await page.fill("[name=name]", "mail.digest");
    await page.fill("[name=params]", `[4711, "no script"]`);
    await page.getByRole("button", { name: /^Schedule/ }).click();
    await page.waitForURL(/\/tasks\/\d+/);
    assertMatch(await page.locator("main").innerText(), /4711/);
  },
  { javaScriptEnabled: false },
);

browserTest("a signal is sent and a task forked in dialogs", async ({ page, url, db, ids }) => {
  await page.goto(`${url}/tasks/${ids.steps}`);
  const dialog = page.locator("dialog[open]");
  await page.locator(".steps-table").getByRole("link", { name: "Signal… order.approved" }).click();
  await dialog.getByLabel("Payload").fill(`{"by": "Ana"}`);
  await dialog.getByRole("button", { name: "Send" }).click();
  await page.waitForURL(/signaled=order\.approved/);
  const [signal] = await db.sql`SELECT name, firefly.try_decode(payload) AS payload FROM firefly.signal`;
  assertEquals(signal?.name, "order.approved");

  await page.locator(".steps-table").getByRole("link", { name: "Fork… reserve" }).click();
  await dialog.getByRole("button", { name: "Fork" }).click();
  await page.waitForURL(/forked=\d+/);
  assertEquals(await page.locator(".related a").first().innerText(), `order.process #${ids.steps}`);
});

browserTest(
  "without JavaScript, a signal is sent, with its mistakes shown, and a task is forked",
  async ({ page, url, db, ids }) => {
    await page.goto(`${url}/tasks/${ids.steps}`);
    await page.locator(".tell").getByRole("link", { name: "Signal…" }).click();
    await page.getByLabel("Payload").fill("{by: Ana}");
    await page.getByRole("button", { name: "Send" }).click();
    assertMatch(await page.locator(".field .bad").innerText(), /It is no JSON/);
    await page.getByLabel("Payload").fill(`{"by": "Ana"}`);
    await page.getByRole("button", { name: "Send" }).click();
    await page.waitForURL(/signaled=/);
    assertEquals((await db.sql`SELECT FROM firefly.signal`).length, 1);

    await page.locator(".steps-table").getByRole("link", { name: "charge", exact: true }).click();
    await page.getByRole("link", { name: "Fork…" }).click();
    await page.getByRole("button", { name: "Fork" }).click();
    await page.waitForURL(/forked=\d+/);
  },
  { javaScriptEnabled: false },
);

browserTest("boxes of a graph are reached and opened by keys", async ({ page, url, ids }) => {
  await page.goto(`${url}/tasks/${ids.graph}/graph`);
  await page.locator(".graph").focus();
  await page.keyboard.press("Tab");
  assertEquals(await page.evaluate(`document.activeElement.classList.contains("node")`), true);
  const [href] = await page.locator(".graph .node").evaluateAll((boxes) =>
    boxes.map((box) => box.getAttribute("href"))
  );
  await page.keyboard.press("Enter");
  await page.waitForURL((at) => at.pathname === href);
});

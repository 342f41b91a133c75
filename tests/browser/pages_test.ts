import { assertEquals } from "@std/assert";
import { Firefly } from "../../mod.ts";
import { findOverflow, findViolations, type OpenPage, TestBrowser, WITH_BROWSER } from "../support/browser.ts";
import { pagesOf, serveDashboard } from "../support/dashboard_pages.ts";
import { busyScene, quietScene } from "../support/dashboard_scene.ts";
import { testDatabase } from "../support/database.ts";

const WIDTHS = [320, 390, 768, 1024, 1280, 1440];
/** Pages that differ from others in numbers and words alone: looking at them takes seconds, and finds nothing else. */
const ALIKE = ["index-week", "tasks-delete", "task-retrying", "task-limited", "queue-unserved"];
const [DESKTOP, PHONE] = [{ width: 1440, height: 900 }, { width: 390, height: 844 }];

/** What is wrong with a page, in both themes and both sizes and at every width. */
async function inspect({ page, problems }: OpenPage, url: string, status = 200): Promise<string[]> {
  const found: string[] = [];
  problems.length = 0;
  const response = await page.goto(url);
  if (response?.status() !== status) return [`it answered ${response?.status()}`];
  // A theme changes colors alone, so the other rules of axe need to look at one; and a size changes no color.
  for (const [size, viewport] of [["desktop", DESKTOP], ["phone", PHONE]] as const) {
    await page.setViewportSize(viewport);
    for (const colorScheme of size === "desktop" ? ["light", "dark"] as const : ["light"] as const) {
      await page.emulateMedia({ colorScheme });
      const violations = await findViolations(page, { colorsOnly: colorScheme === "dark" });
      found.push(...violations.map((violation) => `${size}, ${colorScheme}: ${violation}`));
    }
  }
  for (const width of WIDTHS) {
    await page.setViewportSize({ width, height: 844 });
    found.push(...(await findOverflow(page)).map((overflow) => `${width} px: ${overflow}`));
  }
  return [...found, ...problems.filter((problem) => !problem.includes("the server responded with a status of"))];
}

Deno.test("every page is accessible, fits and keeps the policy, in both themes and sizes", {
  ...WITH_BROWSER,
}, async (t) => {
  await using browser = await TestBrowser.start();
  await using open = await browser.open();
  await using db = await testDatabase();
  await using scene = await busyScene(db);
  await using server = serveDashboard({ firefly: scene.ff });
  for (const [name, path] of Object.entries(pagesOf(scene))) {
    if (ALIKE.includes(name)) continue;
    await t.step(name, async () => {
      assertEquals(await inspect(open, server.url + path, name === "404" ? 404 : 200), []);
    });
  }
});

Deno.test("a quiet, an empty, a read-only and a closed dashboard are accessible, fit and keep the policy", {
  ...WITH_BROWSER,
}, async (t) => {
  await using browser = await TestBrowser.start();
  await using open = await browser.open();
  await using quiet = await testDatabase();
  await using ff = await quietScene(quiet);
  await using empty = await testDatabase();
  await using none = new Firefly({ database: empty.url });
  await using servers = new AsyncDisposableStack();
  const urls = {
    quiet: servers.use(serveDashboard({ firefly: ff })).url,
    readOnly: `${servers.use(serveDashboard({ firefly: ff, readOnly: true })).url}/queues`,
    empty: servers.use(serveDashboard({ firefly: none })).url,
    closed: servers.use(serveDashboard({ firefly: ff, authorize: () => false })).url,
  };
  for (const [name, url] of Object.entries(urls)) {
    await t.step(name, async () => {
      assertEquals(await inspect(open, url, name === "closed" ? 403 : 200), []);
    });
  }
});

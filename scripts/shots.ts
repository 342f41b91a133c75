/**
 * Takes pictures of all pages of the dashboard, over a database that has all that they can show:
 * `deno task shots DIR [page …]`.
 *
 * @module
 */
import { join } from "node:path";
import { Firefly } from "../mod.ts";
import { type OpenPage, TestBrowser } from "../tests/support/browser.ts";
import { pagesOf, serveDashboard } from "../tests/support/dashboard_pages.ts";
import { busyScene, quietScene } from "../tests/support/dashboard_scene.ts";
import { testDatabase } from "../tests/support/database.ts";

const SIZES = { desktop: { width: 1440, height: 900 }, phone: { width: 390, height: 844 } } as const;

const [directory, ...only] = Deno.args;
if (directory === undefined) {
  console.error("Usage: deno task shots DIR [page …]");
  Deno.exit(2);
}
await Deno.mkdir(directory, { recursive: true });

await using browser = await TestBrowser.start();
await using open = await browser.open();
{
  await using db = await testDatabase();
  await using scene = await busyScene(db, { hostile: false });
  await using server = serveDashboard({ firefly: scene.ff });
  const { "task-hostile": _, ...pages } = pagesOf(scene);
  await shoot(open, server.url, pages);
  await using readOnly = serveDashboard({ firefly: scene.ff, readOnly: true });
  await shoot(open, readOnly.url, { "task-read-only": `/tasks/${scene.ids.failed}` });
  await using closed = serveDashboard({ firefly: scene.ff, authorize: () => false });
  await shoot(open, closed.url, { "403": "/" });
}
{
  await using db = await testDatabase();
  await using scene = await busyScene(db);
  await using server = serveDashboard({ firefly: scene.ff });
  const pages = pagesOf(scene);
  for (const name of ["index", "tasks-all", "task-hostile", "queues", "crons", "consumers"]) {
    await shoot(open, server.url, { [`hostile-${name.replace("task-hostile", "task")}`]: pages[name]! });
  }
}
{
  await using db = await testDatabase();
  await using ff = await quietScene(db);
  await using server = serveDashboard({ firefly: ff });
  await shoot(open, server.url, { quiet: "/" });
}
{
  await using db = await testDatabase();
  await using ff = new Firefly({ database: db.url });
  await using server = serveDashboard({ firefly: ff });
  await shoot(open, server.url, { "empty": "/", "empty-tasks": "/tasks", "empty-crons": "/crons" });
}

/** Takes four pictures of each page: in both themes and both sizes. That of a phone is as high as the page. */
async function shoot({ page }: OpenPage, url: string, pages: Record<string, string>): Promise<void> {
  for (const [name, path] of Object.entries(pages)) {
    if (only.length > 0 && !only.includes(name)) continue;
    await page.goto(url + path);
    for (const [size, viewport] of Object.entries(SIZES)) {
      for (const colorScheme of ["light", "dark"] as const) {
        await page.setViewportSize(viewport);
        await page.emulateMedia({ colorScheme });
        const file = join(directory!, `${name}-${size}-${colorScheme}.png`);
        await page.screenshot({ path: file, fullPage: size === "phone" });
      }
    }
    console.log(name);
  }
}

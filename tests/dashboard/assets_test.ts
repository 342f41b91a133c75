import { assert, assertEquals } from "@std/assert";
import { assetsModule } from "../../scripts/bundle_assets.ts";
import { ASSETS } from "../../src/dashboard/assets.ts";

Deno.test("src/dashboard/assets.ts holds src/dashboard/assets/ as it is", async () => {
  const module = new URL("../../src/dashboard/assets.ts", import.meta.url);

  const isStale = await assetsModule() !== await Deno.readTextFile(module);

  assert(!isStale, "it is stale: run deno task assets");
});

Deno.test("an asset's path has the hash of its text", async () => {
  for (const { path, text } of Object.values(ASSETS)) {
    const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
    assertEquals(path.split(/[/-]/)[2], new Uint8Array(digest).toHex().slice(0, 12));
  }
});

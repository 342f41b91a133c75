import { assertEquals } from "@std/assert";
import { testDatabase } from "../support/database.ts";
import { CHECKSUMS } from "./checksums.ts";

Deno.test("a database stores the checksums that are kept for its releases, in their order", async () => {
  await using db = await testDatabase();
  const rows = await db.sql`SELECT version, name, checksum FROM firefly.migration ORDER BY version`;

  const stored = rows.map(({ version, name, checksum }) => [`${String(version).padStart(4, "0")}_${name}`, checksum]);

  const kept = Object.values(CHECKSUMS).flatMap((migrations) => Object.entries(migrations));
  assertEquals(
    stored,
    kept,
    "A migration of a tagged release must never change. A new one is appended to tests/releases/checksums.ts",
  );
});

import { assertEquals, assertNotEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { renderDiagnosis } from "../../src/cli/doctor.ts";
import { resolveConnection } from "../../src/database/settings.ts";
import type { Check } from "../../src/doctor/check.ts";
import { diagnose } from "../../src/doctor/doctor.ts";
import { Target } from "../../src/doctor/target.ts";
import { gradeConnections, gradeNotifications, gradeSettings } from "../../src/doctor/server_checks.ts";
import { gradeHolder } from "../../src/doctor/schema_checks.ts";
import { withDeadline } from "../../src/database/deadline.ts";
import { SCHEMA_PARTS } from "../../src/schema/expected.ts";
import { readBackend } from "../../src/store/health.ts";
import { schemaModule } from "../../scripts/describe_schema.ts";
import { testDatabase } from "../support/database.ts";
import { TcpProxy } from "../support/tcp_proxy.ts";

Deno.test("SCHEMA_PARTS matches the migrations: else run deno task schema", async () => {
  assertStringIncludes(await schemaModule(), SCHEMA_PARTS);
});

Deno.test("diagnose() limits the time of each check, and continues after one that throws", async () => {
  const check = (name: string, ask: Check["ask"], after: string[] = []): Check => ({ name, after, ask });
  const checks = [
    check("mute", () => new Promise(() => {})),
    check("broken", () => Promise.reject(new TypeError("no"))),
    check("sound", () => Promise.resolve({ verdict: "ok", value: "", advice: [] })),
    check("dependent", () => Promise.resolve({ verdict: "ok", value: "", advice: [] }), ["mute"]),
  ];
  const settings = await resolveConnection("postgres://postgres@127.0.0.1:1/nowhere");
  const target = new Target({ settings, schema: "firefly", names: [] });
  const verdicts = await Array.fromAsync(diagnose(target, { checks, timeout: 50 }), ({ verdict }) => verdict);
  assertEquals(verdicts, ["unknown", "unknown", "ok", "skipped"]);
});

Deno.test("Target.read() cannot change anything", async () => {
  await using db = await testDatabase();
  const target = new Target({ settings: db.settings, schema: "firefly", names: [] });
  await assertRejects(
    () => target.read((sql) => sql`INSERT INTO firefly.queue (name) VALUES ('q')`),
    Error,
    "read-only transaction",
  );
  target.end();
});

Deno.test("Target.read() gives up on a network that drops everything, and connects again after it", async () => {
  await using db = await testDatabase();
  await using proxy = await TcpProxy.start(db.url);
  const settings = await resolveConnection(proxy.through(db.url));
  const target = new Target({ settings, schema: "firefly", names: [] });
  const first = await target.read(readBackend);
  proxy.mode = "hole";
  await assertRejects(() => withDeadline(target.read(readBackend), 15_000), Error, "no answer in 8 s");
  proxy.mode = "pass";
  assertNotEquals(await target.read(readBackend), first);
  target.end();
});

Deno.test("gradeSettings() names the settings that are off", () => {
  const on = { fsync: true, fullPageWrites: true, synchronousCommit: true, autovacuum: true };
  assertEquals(gradeSettings(on).verdict, "ok");
  const { verdict, value, advice } = gradeSettings({ ...on, fsync: false, autovacuum: false });
  assertEquals([verdict, value, advice.length], ["warning", "fsync, autovacuum off", 2]);
});

Deno.test("renderDiagnosis() wraps to the terminal's width, in a column beside the names", () => {
  const diagnosis = {
    check: "settings",
    verdict: "warning" as const,
    value: "fsync off",
    advice: ["Turn on fsync: without it, a server crash may lose committed data"],
  };
  assertEquals(renderDiagnosis(diagnosis, { width: 80, style: (_, text) => text }), [
    "! settings            fsync off",
    "                      → Turn on fsync: without it, a server crash may lose",
    "                        committed data",
  ]);
});

Deno.test("gradeNotifications(), gradeConnections() and gradeHolder() grade by their bounds", () => {
  assertEquals([0, 0.1, 0.5].map((usage) => gradeNotifications(usage).verdict), ["ok", "warning", "wrong"]);
  assertEquals([79, 80, 95].map((used) => gradeConnections(used, 100).verdict), ["ok", "warning", "wrong"]);
  assertEquals([299, 300, 3600].map((seconds) => gradeHolder({ seconds, transactions: 0 })), [
    "ok",
    "warning",
    "wrong",
  ]);
});

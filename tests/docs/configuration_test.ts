import { assertEquals } from "@std/assert";
import type {
  Config,
  ConsumeCommandOptions,
  CronOptions,
  FireflyOptions,
  QueueOptions,
  ScheduleOptions,
  TaskOptions,
} from "../../mod.ts";
import { consume } from "../../src/cli/consume.ts";

const PAGE = await Deno.readTextFile(new URL("../../docs/configuration.md", import.meta.url));

/** The names in the first cells of the table below the line that begins with `start`. */
function namesBelow(start: string): string[] {
  const [, rest] = PAGE.split(new RegExp(`^${start.replaceAll(/[()*]/g, "\\$&")}`, "m"));
  const [table] = /^(?:\|.*\n)+/m.exec(rest!)!;
  return Array.from(table.matchAll(/^\| `(\w+)`/gm), ([, name]) => name!);
}

/** The flags that stand in the tables, without `--`. */
const flags = Array.from(PAGE.matchAll(/^\|.*?\| `--([\w-]+)` +\|/gm), ([, name]) => name!);

/** The keys of an interface. An option that is missing here is an error of the type checker. */
function keysOf<T extends object>(keys: Record<keyof T, true>): string[] {
  return Object.keys(keys).sort();
}

const TASK = keysOf<TaskOptions & CronOptions>({
  name: true,
  aliases: true,
  queue: true,
  maxRetries: true,
  retryDelay: true,
  priority: true,
  timeout: true,
  unique: true,
  concurrency: true,
  rateLimit: true,
  version: true,
  maxSteps: true,
  input: true,
  output: true,
  retention: true,
  keepLogs: true,
  cron: true,
  timezone: true,
  missed: true,
});

const CALL = keysOf<ScheduleOptions>({
  notBefore: true,
  delay: true,
  queue: true,
  priority: true,
  maxRetries: true,
  retryDelay: true,
  timeout: true,
  unique: true,
  tags: true,
  after: true,
  tx: true,
});

const INSTANCE = keysOf<FireflyOptions>({
  database: true,
  listenDatabase: true,
  schema: true,
  defaults: true,
  queues: true,
  onFailed: true,
  encryption: true,
  redact: true,
  statistics: true,
  alerts: true,
  logger: true,
  tracing: true,
  onProgress: true,
});

const CONSUMER = keysOf<ConsumeCommandOptions>({
  queues: true,
  concurrency: true,
  tasks: true,
  drain: true,
  maxTasks: true,
  signal: true,
  shutdownTimeout: true,
  pollInterval: true,
  lease: true,
  cron: true,
  watchdog: true,
  release: true,
  name: true,
  probePort: true,
  probeHost: true,
  maxMemory: true,
});

Deno.test("docs/configuration.md has every option of task() and with(), and no other", () => {
  assertEquals(namesBelow("## Options of `task()`").sort(), [...new Set([...TASK, ...CALL])].sort());
});

Deno.test("docs/configuration.md marks the options that with() takes", () => {
  const marked = Array.from(PAGE.matchAll(/^\| `(\w+)` +\| ✓/gm), ([, name]) => name!);
  assertEquals(marked.sort(), CALL);
});

Deno.test("docs/configuration.md has every option of an instance, and no other", () => {
  assertEquals(namesBelow("## Options of `configure()` and `new Firefly()`").sort(), INSTANCE);
});

Deno.test("docs/configuration.md has every option of firefly.config.ts that an instance lacks", () => {
  const config = keysOf<Omit<Config, keyof FireflyOptions>>({ tasks: true, consume: true });
  assertEquals(namesBelow("`firefly.config.ts` takes").sort(), config);
});

Deno.test("docs/configuration.md has every option of a queue, and no other", () => {
  assertEquals(namesBelow("Options of `queues.*`").sort(), keysOf<QueueOptions>({ retention: true, notify: true }));
});

Deno.test("docs/configuration.md has every option and every flag of consume, and no other", () => {
  assertEquals(namesBelow("## Options of `consume()`").sort(), CONSUMER);
  assertEquals(flags.sort(), Object.keys(consume.flags).sort());
});

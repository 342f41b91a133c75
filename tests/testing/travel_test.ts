import { assert, assertEquals, assertRejects } from "@std/assert";
import postgres from "postgres";
import { current, Retry, signal, task, TaskFailed } from "../../mod.ts";
import { testFirefly } from "../../testing.ts";

const START = new Date("2030-05-01T08:59:00Z");
const HOUR = 3_600_000;

function after(ms: number): string {
  return new Date(START.getTime() + ms).toISOString();
}

/** A time without its seconds: real time passes, too. */
function minuteOf(time: Date): string {
  return time.toISOString().slice(0, 16);
}

Deno.test("testFirefly() starts the clock at the option now, for all statements of the database", async () => {
  await using ff = await testFirefly({ now: START });

  const [row] = await ff.sql`SELECT now() AS now, clock_timestamp() AS clock, statement_timestamp() AS statement`;

  assertEquals(minuteOf(await ff.now()), minuteOf(START));
  for (const time of Object.values(row)) assertEquals(minuteOf(time as Date), minuteOf(START));
});

Deno.test("travel() goes forward only", async () => {
  await using ff = await testFirefly({ now: START });

  assertEquals((await ff.travel(new Date(after(HOUR)))).toISOString().slice(0, 16), after(HOUR).slice(0, 16));

  await assertRejects(() => ff.travel(START), RangeError, "clocks go forward only");
  await assertRejects(() => ff.travel(-5), RangeError);
  await assertRejects(() => ff.travel(new Date(NaN)), TypeError);
});

Deno.test("travel() makes a delayed task due, not before its time", async () => {
  const later = task("kit.delayed", () => "ran");
  await using ff = await testFirefly({ tasks: [later] });
  const record = await later.with({ delay: "2h" }).schedule();

  await ff.travel("119m");
  assertEquals((await ff.drain()).completed, 0);
  await ff.travel("1m");
  assertEquals((await ff.drain()).completed, 1);

  assertEquals(await record.result(), "ran");
});

Deno.test("travel() passes the delays of retries, by their backoff", async () => {
  const attempts: string[] = [];
  const flaky = task({
    name: "kit.backoff",
    maxRetries: 3,
    retryDelay: { kind: "exponential", delay: "1m", jitter: false },
  }, async () => {
    attempts.push(minuteOf(await ff.now()));
    throw new Error("not yet");
  });
  await using ff = await testFirefly({ tasks: [flaky], now: START });
  const record = await flaky.schedule();

  const counts = await ff.drain({ until: "1h", throwOnFailure: false });

  assertEquals(counts, { completed: 0, failed: 1, retried: 3, cancelled: 0 });
  assertEquals(attempts, [0, 1, 3, 7].map((minutes) => after(minutes * 60_000).slice(0, 16)));
  await assertRejects(() => record.result(), TaskFailed, "not yet");
});

Deno.test("drain({ until }) passes sleeps, deadlines of signals and retries of steps, each at its time", async () => {
  const seen: string[] = [];
  const approved = signal("kit.approved");
  const note = async (text: string) => void seen.push(`${text} ${minuteOf(await ff.now())}`);
  const order = task("kit.waits", async () => {
    const { step } = current();
    await step({ name: "charge", maxRetries: 2, retryDelay: "10m" }, async () => {
      await note("charge");
      if (seen.length < 3) throw new Error("not yet");
    });
    await step.sleep("1h");
    await step("slept", () => note("slept"));
    await step.waitFor(approved, { timeout: "1d" }).catch(() => {});
    await step("late", () => note("late"));
  });
  await using ff = await testFirefly({ tasks: [order], now: START });
  const record = await order.schedule();

  await ff.drain({ until: "2h" });
  assertEquals((await record.refresh()).state, "suspended");
  await ff.travel("1d");
  assertEquals((await ff.drain()).completed, 1);

  const minutes = [0, 10, 20, 80, 26 * 60].map((minutes) => after(minutes * 60_000).slice(0, 16));
  assertEquals(seen, ["charge", "charge", "charge", "slept", "late"].map((text, i) => `${text} ${minutes[i]}`));
});

Deno.test("travel() lets a unique key end after its time", async () => {
  const daily = task({ name: "kit.unique", unique: { for: "1d" } }, () => {});
  await using ff = await testFirefly({ tasks: [daily] });

  assertEquals((await daily.schedule()).inserted, true);
  await ff.drain();
  await ff.travel("23h");
  assertEquals((await daily.schedule()).inserted, false);
  await ff.travel("1h");
  assertEquals((await daily.schedule()).inserted, true);
});

Deno.test("drain({ until }) admits tasks by their rate, each when a slot ends", async () => {
  const starts: string[] = [];
  const limited = task({ name: "kit.rate", rateLimit: { limit: 1, per: "10m" } }, async () => {
    starts.push(minuteOf(await ff.now()));
  });
  await using ff = await testFirefly({ tasks: [limited], now: START });
  await limited.scheduleMany([[], [], []]);

  assertEquals((await ff.drain()).completed, 1);
  assertEquals((await ff.drain({ until: "15m" })).completed, 1);
  assertEquals((await ff.drain({ until: "15m" })).completed, 1);

  assertEquals(starts, [0, 10, 20].map((minutes) => after(minutes * 60_000).slice(0, 16)));
});

Deno.test("travel() lets records end their retention", async () => {
  const kept = task({ name: "kit.retention", retention: "7d" }, () => {});
  await using ff = await testFirefly({ tasks: [kept] });
  await kept.schedule();
  await ff.drain();

  await ff.travel("6d");
  assertEquals(await ff.firefly.prune(), 0);
  await ff.travel("1d");
  assertEquals(await ff.firefly.prune(), 1);
});

Deno.test("travel() schedules a task for each slot of its cron that it passes, at its time", async () => {
  const hourly = task({ name: "kit.hourly", cron: "0 * * * *" }, () => {});
  const quarterly = task({ name: "kit.quarterly", cron: "*/15 * * * *", timezone: "Europe/Warsaw" }, () => {});
  await using ff = await testFirefly({ tasks: [hourly, quarterly], now: START });

  await ff.travel("2h");

  const hours = await ff.scheduled(hourly);
  assertEquals(hours.map(({ notBefore }) => notBefore.toISOString()), [
    "2030-05-01T09:00:00.000Z",
    "2030-05-01T10:00:00.000Z",
  ]);
  assertEquals(hours.map(({ created }) => minuteOf(created)), ["2030-05-01T09:00", "2030-05-01T10:00"]);
  await ff.assertScheduled(quarterly, { count: 8 });
});

Deno.test("drain({ until }) runs the tasks of crons at the times of their slots", async () => {
  const ran: string[] = [];
  const daily = task({ name: "kit.daily", cron: "30 6 * * *" }, async () => void ran.push(minuteOf(await ff.now())));
  await using ff = await testFirefly({ tasks: [daily], now: START });

  assertEquals((await ff.drain({ until: new Date("2030-05-04T00:00:00Z") })).completed, 2);

  assertEquals(ran, ["2030-05-02T06:30", "2030-05-03T06:30"]);
  assertEquals(minuteOf(await ff.now()), "2030-05-04T00:00");
});

Deno.test("travel() refuses to pass more slots than it can in a reasonable time, unless crons are off", async () => {
  const often = task({ name: "kit.often", cron: "* * * * *" }, () => {});
  {
    await using ff = await testFirefly({ tasks: [often] });
    await assertRejects(() => ff.travel("30d"), Error, 'cron "kit.often" has more than 10000 slots');
  }
  await using ff = await testFirefly({ tasks: [often], cron: false });
  await ff.travel("30d");
  await ff.assertNotScheduled(often);
});

Deno.test("a consumer that runs sees at once that the clock was set, and keeps its tasks", async () => {
  const started = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  const long = task({ name: "kit.long", timeout: "1h" }, async () => {
    started.resolve();
    await gate.promise;
    return "ended";
  });
  const later = task("kit.later", () => "ran");
  const tasks = [long, later];
  await using ff = await testFirefly({ tasks });
  const lost: unknown[] = [];
  ff.firefly.on("lost", (event) => lost.push(event));
  ff.firefly.on("consumer.expired", (event) => lost.push(event));
  await using consumer = ff.firefly.consume({ tasks, pollInterval: "1h" });
  await consumer.ready;
  const running = await long.schedule();
  await started.promise;
  const waiting = await later.with({ delay: "1d" }).schedule();
  while ((consumer.counts?.wakeLocks ?? 0) === 0) await new Promise((resolve) => setTimeout(resolve, 5));

  await ff.travel("1d");

  assertEquals(await waiting.result({ timeout: "10s" }), "ran");
  gate.resolve();
  assertEquals(await running.result({ timeout: "10s" }), "ended");
  assertEquals((await running.refresh()).attempt, 1);
  assertEquals(lost, []);
});

Deno.test("travel() notifies the control channel, so that no consumer waits for its poll", async () => {
  await using ff = await testFirefly({ tasks: [] });
  const listening = postgres(ff.url, { max: 1 });
  const notified = Promise.withResolvers<string>();
  await listening.listen("firefly:control", notified.resolve);

  await ff.travel("1h");

  assertEquals(await notified.promise, "");
  await listening.end();
});

Deno.test("travel() takes the leases of live consumers along, and no others", async () => {
  await using ff = await testFirefly({ tasks: [] });
  await ff.sql`
    INSERT INTO firefly.consumer (id, host, pid, version, queues, tasks, concurrency, lease_until)
    SELECT gen_random_uuid(), name, 1, '1', '{default}', '{}', 1, now() + lease
    FROM (VALUES ('live', interval '30 s'), ('crashed', interval '-1 s')) AS given (name, lease)
  `;

  await ff.travel("1d");

  const rows = await ff.sql`
    SELECT host, lease_until > now() AS is_live, lease_until < now() - interval '1 day' AS is_old
    FROM firefly.consumer ORDER BY host
  `;
  assertEquals(Array.from(rows, (row) => ({ ...row })), [
    { host: "crashed", is_live: false, is_old: true },
    { host: "live", is_live: true, is_old: false },
  ]);
});

Deno.test("a consumer's own cron fires right after its clock was set, without the kit", async () => {
  const hourly = task({ name: "kit.own_cron", cron: "0 * * * *" }, () => {});
  await using ff = await testFirefly({ tasks: [hourly], cron: false, now: START });
  await using consumer = ff.firefly.consume({ tasks: [hourly], pollInterval: "1h" });
  await consumer.ready;
  const ran = new Promise<void>((resolve) => ff.firefly.on("completed", () => resolve()));

  await ff.travel("70s"); // it is 09:00 since 10 s

  await ran;
});

Deno.test("result() is notified after the clock was set by more than its row lives", async () => {
  const later = task("kit.waiter", () => "ran");
  await using ff = await testFirefly({ tasks: [later] });
  const record = await later.with({ delay: "2d" }).schedule();
  const result = record.result();
  while ((await ff.sql`SELECT FROM firefly.result_waiter`).length === 0) await new Promise((r) => setTimeout(r, 5));

  await ff.travel("2d");
  const [row] = await ff.sql`SELECT until > now() AS lives FROM firefly.result_waiter`;
  assertEquals(row.lives, true);
  await ff.drain();

  assertEquals(await result, "ran");
});

Deno.test("Retry asks for another attempt, which is no failure", async () => {
  const polls = task("kit.polls", async () => {
    if (await ff.now() < new Date(after(HOUR))) throw new Retry({ delay: "10m" });
    return "done";
  });
  await using ff = await testFirefly({ tasks: [polls], now: START });
  const record = await polls.schedule();

  const counts = await ff.drain({ until: "2h" });

  assertEquals(counts, { completed: 1, failed: 0, retried: 6, cancelled: 0 });
  assertEquals(await record.result(), "done");
});

Deno.test("own tables go by the clock, and are made in public", async () => {
  await using ff = await testFirefly({ now: START });
  await ff.sql`CREATE TABLE entry (made timestamptz NOT NULL DEFAULT now())`;

  await ff.travel("1d");
  const [row] = await ff.sql`INSERT INTO public.entry DEFAULT VALUES RETURNING made`;

  assertEquals(minuteOf(row.made), after(24 * HOUR).slice(0, 16));
});

Deno.test("all SQL asks for the time by functions that a database can replace", async () => {
  const files = [
    ...Array.from(Deno.readDirSync("migrations"), ({ name }) => `migrations/${name}`),
    ...Array.from(Deno.readDirSync("src/store"), ({ name }) => `src/store/${name}`),
  ].filter((name) => /\.(sql|ts)$/.test(name) && name !== "src/store/test_clock.ts");
  const found: string[] = [];
  let asked = 0;
  for (const file of files) {
    const text = await Deno.readTextFile(file);
    asked += text.match(/(?<![.\w])(now|clock_timestamp|statement_timestamp)\(\)/g)?.length ?? 0;
    const wrong =
      /pg_catalog\.(now|\w+_timestamp)\(|\b(current_timestamp|current_time|current_date|localtime(stamp)?)\b|\btransaction_timestamp\(|timeofday\(/gi;
    for (const [word] of text.matchAll(wrong)) found.push(`${file}: ${word}`);
  }
  assert(asked > 200, `found ${asked}`);
  // Whether a consumer lives, so that NOTIFY is saved: one that seems to live for longer is awake, or holds the wake lock.
  assertEquals([...new Set(found)], ["migrations/0005_placing.sql: pg_catalog.now("]);
});

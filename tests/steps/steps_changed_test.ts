import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { current } from "../../mod.ts";
import { attempts } from "../support/attempts.ts";
import { explainTask } from "../../src/store/explain.ts";
import { insertTask } from "../support/records.ts";

const later = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

Deno.test("Promise.race gives the same winner in every replay", async () => {
  await using t = await attempts();
  const winners: string[] = [];
  const handler = async () => {
    const { step, attempt } = current();
    // The loser of the first attempt is asked for first.
    const slow = step("slow", async () => {
      if (attempt === 1) await later(60);
      return "slow";
    });
    const winner = await Promise.race([slow, step("fast", () => "fast")]);
    winners.push(winner);
    await step(`after ${winner}`, () => {});
    await slow;
    await step("last", () => {
      if (attempt < 4) throw new Error("not yet");
    });
  };

  for (let attempt = 1; attempt < 4; attempt++) assertEquals((await t.run(handler)).ending, "retried");
  assertEquals((await t.run(handler)).ending, "completed");
  assertEquals(winners, Array(4).fill("fast"));
});

Deno.test("parallel branches with code of their own between the steps do not trip the check", async () => {
  await using t = await attempts();
  const handler = async () => {
    const { step, attempt } = current();
    await Promise.all(["a", "b", "c", "d"].map(async (key, i) => {
      await step({ name: "one", key }, () => i);
      await later(30 * (attempt === 1 ? i : 4 - i));
      await step({ name: "two", key }, () => {
        if (attempt === 1 && key === "c") throw new Error("not yet");
      });
    }));
    await step("last", () => {});
  };
  assertEquals((await t.run(handler)).ending, "retried");
  assertEquals((await t.run(handler)).ending, "completed");
});

/** A task that has run the steps "charge" and "book", and failed. */
async function begun(version?: number) {
  const t = await attempts();
  const { ending } = await t.run(async () => {
    const { step } = current();
    await step("charge", () => 1);
    await step("book", () => 2);
    throw new Error("not yet");
  }, version === undefined ? {} : { version });
  assertEquals(ending, "retried");
  return t;
}

Deno.test("a renamed step stops before it runs, and its attempt is not counted", async () => {
  await using t = await begun();
  let ran = false;
  let caught: unknown;
  const { ending, record } = await t.run(async () => {
    const { step } = current();
    try {
      await step("charge card", () => void (ran = true));
    } catch (error) {
      caught = error;
    }
  }, { maxRetries: 0 });

  assertEquals([ending, ran, caught, record.snoozes, record.retry_attempts], ["snoozed", false, undefined, 1, 1]);
  const { name, message, delay } = record.errors.at(-1)!;
  assertEquals([name, delay], ["StepsChanged", 1]);
  assertEquals(
    message,
    `Cannot begin step "charge card" of task ${t.id} as its steps "charge", "book", which have run, were not asked for: ` +
      `renamed steps need aliases: ["charge"], other changes a higher version`,
  );
  const explanation = await explainTask(t.test.db.records, t.id);
  assertStringIncludes(JSON.stringify(explanation), "StepsChanged");
});

Deno.test("a step that was inserted before a stored one, or left out before a new one, stops as well", async () => {
  for (const names of [["check", "charge", "book"], ["charge", "ship"]]) {
    await using t = await begun();
    const { ending } = await t.run(async () => {
      for (const name of names) await current().step(name, () => {});
    });
    assertEquals([ending, await t.steps()], ["snoozed", ["charge/ completed", "book/ completed"]]);
  }
});

Deno.test("a renamed step with aliases gets its result, also after it was stored under both names", async () => {
  await using t = await begun();
  const calls: string[] = [];
  const handler = async () => {
    const { step, attempt } = current();
    const charge = await step({ name: "charge card", aliases: ["charge"] }, () => (calls.push("charge"), 0));
    await step("book", () => void calls.push("book"));
    await step({ name: "charge card", aliases: ["charge"] }, () => (calls.push("second"), 0));
    if (attempt < 3) throw new Error("not yet");
    return charge;
  };
  await t.run(handler);
  const { ending, record } = await t.run(handler);

  assertEquals([ending, record.returned, calls], ["completed", 1, ["second"]]);
  assertEquals(await t.steps(), ["charge/ completed", "book/ completed", "charge card/2 completed"]);
});

Deno.test("a higher version takes what matches, runs the rest, and sees the version that the task began with", async () => {
  await using t = await begun();
  const versions: number[] = [];
  const calls: string[] = [];
  const handler = async () => {
    const { step, version, attempt } = current();
    versions.push(version);
    await step("check", () => void calls.push("check"));
    const booked = await step("book", () => (calls.push("book"), 0));
    if (attempt === 2) throw new Error("not yet");
    return booked;
  };
  assertEquals((await t.run(handler, { version: 2 })).ending, "retried");
  const { ending, record } = await t.run(handler, { version: 2 });

  assertEquals([ending, record.returned, calls, versions], ["completed", 2, ["check"], [1, 1]]);
  const rows = await t.test.db.sql`SELECT name, version FROM firefly.step ORDER BY seq`;
  assertEquals(rows.map(({ name, version }) => [name, version]), [["charge", 1], ["book", 1], ["check", 2]]);
});

Deno.test("among steps of its own version, a higher version is checked as any other", async () => {
  await using t = await begun();
  await t.run(async () => {
    await current().step("check", () => {});
    throw new Error("not yet");
  }, { version: 2 });

  const { ending, record } = await t.run(async () => void await current().step("other", () => {}), { version: 2 });

  assertEquals(ending, "snoozed");
  assertStringIncludes(record.errors.at(-1)!.message, `its step "check", which has run, was not asked for`);
});

Deno.test("a lower version hands the task back, uncounted, before its handler is called or at its first step", async () => {
  for (const version of [2, undefined]) {
    await using t = await begun(3);
    let calls = 0;
    const { ending, record } = await t.run(async () => {
      calls++;
      await current().step("charge", () => 0);
      calls++;
    }, version === undefined ? {} : { version });

    assertEquals([ending, calls, record.retry_attempts], ["snoozed", version === undefined ? 1 : 0, 1]);
    assertEquals(
      record.errors.at(-1)!.message,
      `Cannot run version ${version ?? 1} of task ${t.id} as version 3 has run steps of it`,
    );
  }
});

Deno.test("current().version of a new task is that of the definition", async () => {
  await using t = await attempts();
  const { record } = await t.run(() => current().version, { version: 7 });
  assertEquals(record.returned, 7);
});

Deno.test("a handler that leaves out its last steps completes with a warning", async () => {
  await using t = await begun();
  const { ending } = await t.run(async () => void await current().step("charge", () => 0));

  assertEquals(ending, "completed");
  const warnings = t.test.heard.filter(({ event, detail }) => event === "log" && detail.level === "warn");
  assertEquals(warnings.map(({ detail }) => detail.message), [
    'The handler ended without asking for its steps "book", which have run',
  ]);
});

Deno.test("a handler without steps sends no statement for them, in no attempt", async () => {
  await using t = await attempts();
  const statements: string[] = [];
  t.test.proxy.onRequest = (text) => void statements.push(text);
  await t.run(() => Promise.reject(new Error("not yet")));
  await t.run(() => 1);
  await insertTask(t.test.db);
  assert(statements.length > 0 && statements.every((text) => !/\bstep\b/.test(text)), statements.join("\n"));
});

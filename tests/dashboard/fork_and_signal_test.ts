import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { current, signal, task } from "../../mod.ts";
import { ORIGIN, type TestDashboard, testDashboard } from "../support/dashboard.ts";
import { ROTATED } from "../support/encryption.ts";
import { pageOf } from "../support/html.ts";
import { taskName } from "../support/instance.ts";

const approved = signal<unknown>("approved");

/** Runs a task until it waits for a signal, after two steps. */
async function waitingTask(board: TestDashboard) {
  const ran: string[] = [];
  const order = task(taskName(), async (id: number) => {
    const { step } = current();
    await step("charge", () => void ran.push("charge"));
    await step({ name: "book", key: "van" }, () => void ran.push("book"));
    return { id, payload: await step.waitFor(approved) };
  });
  const record = await board.test.ff.run(() => order.schedule(7));
  await board.test.drain({ tasks: [order] });
  return { id: record.id, order, ran, drain: () => board.test.drain({ tasks: [order] }) };
}

async function countTasks({ test: { db } }: TestDashboard): Promise<number> {
  const [row] = await db.sql`SELECT count(*)::integer AS n FROM firefly.task`;
  return row!.n;
}

async function signalsOf({ test: { db } }: TestDashboard): Promise<unknown[]> {
  return (await db.sql`SELECT name, firefly.try_decode(payload) AS payload FROM firefly.signal ORDER BY id`)
    .map(({ name, payload }) => [name, payload]);
}

Deno.test("a task is forked from a step after a question, which changes nothing by itself", async () => {
  await using board = await testDashboard();
  const { id, ran, drain, order } = await waitingTask(board);

  const question = await pageOf(await board.get(`/tasks/${id}/fork?name=book&key=van`));
  assertEquals(question.text("h1"), `Fork ${order.funcName} #${id} from book?`);
  assertMatch(
    question.text("main")!,
    /begins with the results of the step that ended before it\. It runs book van and all/,
  );
  assertEquals(question.attributes("form input", "value"), ["book", "van"]);
  assertEquals(await countTasks(board), 1);

  const response = await board.post(`/tasks/${id}/fork`, { name: "book", key: "van" });
  assertEquals(response.status, 303);
  const location = response.headers.get("location")!;
  const fork = Number(/\/tasks\/(\d+)\?forked=\d+$/.exec(location)![1]);
  const page = await pageOf(await board.get(location));
  assertStringIncludes(page.text("main")!, `Forked from task ${id}.`);
  assertEquals(page.text(".related a"), `${order.funcName} #${id}`);
  await drain();
  assertEquals(ran, ["charge", "book", "book"]);
  assertEquals((await board.test.ff.tasks.get(fork)).params, [7]);
});

Deno.test("a fork from a step that is not there, or of no task, forks nothing", async () => {
  await using board = await testDashboard();
  const { id } = await waitingTask(board);

  for (
    const [path, fields] of [[`/tasks/${id}/fork`, { name: "no" }], ["/tasks/999/fork", { name: "book" }]] as const
  ) {
    assertEquals((await board.post(path, fields)).status, 404);
  }
  assertEquals(await countTasks(board), 1);
});

Deno.test("a signal is sent with a payload in JSON, and its task goes on", async () => {
  await using board = await testDashboard({}, { encryption: ROTATED });
  const { id, drain } = await waitingTask(board);

  const question = await pageOf(await board.get(`/tasks/${id}/signal?name=approved`));
  assertEquals(question.attributes("form input", "value"), ["approved"]);
  const response = await board.post(`/tasks/${id}/signal`, {
    name: "approved",
    payload: `{"by": "Ana", "at": [1, null]}`,
  });
  assertEquals([response.status, response.headers.get("location")], [303, `/tasks/${id}?signaled=approved`]);
  assertStringIncludes(
    (await pageOf(await board.get(`/tasks/${id}?signaled=approved`))).text("main")!,
    "Sent the signal approved.",
  );
  await drain();

  const record = await board.test.ff.tasks.get(id);
  assertEquals(record.returned, { id: 7, payload: { by: "Ana", at: [1, null] } });
});

Deno.test("an empty payload is none", async () => {
  await using board = await testDashboard();
  const { id, drain } = await waitingTask(board);

  assertEquals((await board.post(`/tasks/${id}/signal`, { name: "approved", payload: " \r\n" })).status, 303);
  await drain();

  assertEquals((await board.test.ff.tasks.get(id)).returned, { id: 7, payload: undefined });
});

Deno.test("a payload that is no JSON, and a name that is none, are shown again and not sent", async () => {
  await using board = await testDashboard();
  const { id } = await waitingTask(board);
  const cases = [
    [{ name: "approved", payload: `{"by": Ana}` }, /It is no JSON/],
    [{ name: "", payload: "1" }, /1 to 200 characters/],
    [{ name: "x".repeat(201), payload: "1" }, /1 to 200 characters/],
  ] as const;
  for (const [fields, problem] of cases) {
    const page = await pageOf(await board.post(`/tasks/${id}/signal`, fields));
    assertEquals(page.status, 422);
    assertMatch(page.text(".field .bad")!, problem);
    assertEquals(page.text("textarea")!.replaceAll("&quot;", `"`).trim(), fields.payload);
    assertEquals(page.count("[aria-invalid=true]"), 1);
  }
  assertEquals(await signalsOf(board), []);
});

Deno.test("a signal to a task that has ended is refused, and to none is not found", async () => {
  await using board = await testDashboard();
  const { id } = await waitingTask(board);
  await board.test.ff.tasks.cancel({ ids: [id] });

  const page = await pageOf(await board.post(`/tasks/${id}/signal`, { name: "approved", payload: "1" }));
  assertEquals(page.status, 409);
  assertStringIncludes(page.text(".tell")!, `Cannot send signal "approved" to task ${id} as it has ended`);
  assertEquals((await board.post("/tasks/999/signal", { name: "approved" })).status, 404);
  assertEquals(await signalsOf(board), []);
});

Deno.test("a viewer who may only look can neither fork nor signal, and sees no button for it", async () => {
  await using board = await testDashboard({ readOnly: true });
  const { id } = await waitingTask(board);

  const page = await pageOf(await board.get(`/tasks/${id}`));
  assertEquals(page.texts(".tell .button, .steps-table .button"), []);
  for (const action of ["fork", "signal"]) {
    assertEquals((await board.get(`/tasks/${id}/${action}?name=book&key=van`)).status, 403, action);
    assertEquals((await board.post(`/tasks/${id}/${action}`, { name: "book", key: "van" })).status, 403, action);
  }
  assertEquals([await countTasks(board), await signalsOf(board)], [1, []]);
});

Deno.test("whom authorize() refuses can neither fork nor signal", async () => {
  await using board = await testDashboard({ authorize: (request) => request.headers.get("x-user") === "ana" });
  const { id } = await waitingTask(board);
  const fields = { name: "charge", payload: "1" };

  for (const action of ["fork", "signal"]) {
    assertEquals((await board.post(`/tasks/${id}/${action}`, fields)).status, 403, action);
  }
  assertEquals([await countTasks(board), await signalsOf(board)], [1, []]);
  for (const action of ["fork", "signal"]) {
    const response = await board.post(`/tasks/${id}/${action}`, fields, { headers: { "x-user": "ana" } });
    assertEquals(response.status, 303, action);
  }
});

Deno.test("forms of other sites neither fork nor signal, and no GET does", async () => {
  await using board = await testDashboard();
  const { id } = await waitingTask(board);
  for (const action of ["fork", "signal"]) {
    for (
      const headers of [
        { "sec-fetch-site": "cross-site", origin: "https://evil.example" },
        { "sec-fetch-site": "same-site", origin: "http://evil.localhost:8000" },
        { origin: "https://evil.example" },
        {},
      ]
    ) {
      const body = new URLSearchParams({ name: "charge", payload: "1" });
      const response = await board.fetch(
        new Request(`${ORIGIN}/tasks/${id}/${action}`, {
          method: "POST",
          body,
          headers: headers as Record<string, string>,
        }),
      );
      assertEquals(response.status, 403, `${action} ${JSON.stringify(headers)}`);
      await response.body?.cancel();
    }
    const got = await board.get(`/tasks/${id}/${action}?name=charge&payload=1`);
    assert(got.ok);
    await got.body?.cancel();
  }
  assertEquals([await countTasks(board), await signalsOf(board)], [1, []]);
});

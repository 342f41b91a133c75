import { assert, assertEquals, assertMatch, assertNotMatch, assertStringIncludes } from "@std/assert";
import { current, task } from "../../mod.ts";
import { testDashboard } from "../support/dashboard.ts";
import { workflowScene } from "../support/dashboard_scene_workflow.ts";
import { ROTATED } from "../support/encryption.ts";
import { type HtmlPage, pageOf } from "../support/html.ts";
import { taskName } from "../support/instance.ts";

function rowsOf(page: HtmlPage): string[][] {
  return page.rows(".steps-table tbody tr");
}

Deno.test("the page of a task shows its steps as rows, with bars that screen readers skip", async () => {
  await using board = await testDashboard();
  const { steps } = await workflowScene(board.test.ff);
  const page = await pageOf(await board.get(`/tasks/${steps}`));

  const rows = rowsOf(page);
  assertEquals(rows.map((cells) => cells[3]), [
    "Completed",
    "Completed",
    "Completed",
    "Failed",
    "Completed",
    "Waits",
    "To retry",
    "Sleeps",
  ]);
  const named = (name: string) => rows.find((cells) => cells[1]!.startsWith(name))!;
  assertMatch(named("charge")[1]!, /→ \{"id":"ch_4711","cardNumber":"\[redacted\]"\}$/);
  assertMatch(named("resize")[1]!, /^resize (front|back)\.png/);
  assertMatch(named("reserve")[1]!, /OutOfStock: no room on the van$/);
  assertMatch(named("label.print")[1]!, /call ?.*3 tasks: #\d+ #\d+ #\d+ · → \["label 1"/);
  assertMatch(named("order.approved")[1]!, /signal ?.*since .*, given up in 6d 23h$/);
  assertMatch(
    named("ship")[1]!,
    /1 failed try · since .*, again in (59m|1h).* · CarrierError: the carrier answered 503$/,
  );
  assertMatch(named("sleep")[1]!, /sleep.*until in 1d 23h$/);
  for (const cells of rows) assertMatch(cells[4]!, /^\d/);
  assertEquals(page.text("#steps + span"), "8 steps; 1 failed; it waits for 3");
  assert(page.attributes(".steps-table .bar-line", "aria-hidden").every((hidden) => hidden === "true"));
  assertEquals(page.count(".steps-table td .wait"), 4);
  assertEquals(page.count(".steps-table td .tick"), 1);
  assertEquals(page.count(".steps-table td .c-bad"), 1);
});

Deno.test("the head of a suspended task says what its handler waits for, and lets a signal be sent", async () => {
  await using board = await testDashboard();
  const { steps } = await workflowScene(board.test.ff);
  const page = await pageOf(await board.get(`/tasks/${steps}`));

  assertEquals(page.text(".head .s"), "Suspended");
  assertMatch(page.text(".tell p")!, /^Its handler waits, since /);
  const points = page.texts(".tell li").slice(0, 3).sort();
  assertMatch(points[0]!, /^Signal order\.approved, since .*, given up in 6d 23h Signal…$/);
  assertMatch(points[1]!, /^Sleep sleep, since .*, until in 1d 23h$/);
  assertMatch(points[2]!, /^Step ship, since .*, again in /);
  assertEquals(page.attributes(".tell li a.button", "href"), [`/tasks/${steps}/signal?name=order.approved`]);
});

Deno.test("the page of a step has all of its result or its error, and leads back", async () => {
  await using board = await testDashboard();
  const { steps } = await workflowScene(board.test.ff);
  const links = (await pageOf(await board.get(`/tasks/${steps}`))).attributes(".steps-table .name", "href");

  const charge = await pageOf(await board.get(links[0]!));
  assertEquals(charge.text("h1"), "charge");
  assertStringIncludes(charge.text(".json")!, '"cardNumber": "[redacted]"');
  assertMatch(charge.text(".facts")!, /Kindstep .*Took\d.* Attempt1 Version1 Before it0 steps/);

  const reserve = await pageOf(await board.get(links[3]!));
  assertMatch(reserve.text(".trace")!, /^OutOfStock: no room on the van/);
  assertEquals(reserve.text(".head .s"), "Failed");

  const ship = await pageOf(await board.get(`/tasks/${steps}/step?name=ship`));
  assertMatch(ship.text(".trace")!, /^CarrierError: the carrier answered 503/);
  assertMatch(ship.text(".facts")!, /Failed tries1/);
  assertEquals(ship.text(".crumb"), `order.process #${steps}`);
  for (const path of [`/tasks/${steps}/step?name=no`, `/tasks/${steps}/step`, "/tasks/99999/step?name=ship"]) {
    assertEquals((await board.get(path)).status, 404, path);
  }
});

Deno.test("results of steps are shown decrypted, without what redact hides, on both pages", async () => {
  await using board = await testDashboard({ redact: ["iban"] }, { encryption: ROTATED });
  const pay = task(taskName(), async () => {
    await current().step("transfer", () => ({ iban: "PL61", token: "t0k3n", amount: 12 }));
  });
  const { id } = await board.test.ff.run(() => pay.schedule());
  await board.test.drain({ tasks: [pay] });
  const [row] = await board.test.db.sql`SELECT returned FROM firefly.step WHERE task_id = ${id}`;
  assertStringIncludes(atob(row!.returned), "Encrypted");

  for (const path of [`/tasks/${id}`, `/tasks/${id}/step?name=transfer`]) {
    const page = await pageOf(await board.get(path));
    const text = page.text("main")!.replaceAll(" ", "");
    assertStringIncludes(text, '{"iban":"[redacted]","token":"[redacted]","amount":12}');
    assertNotMatch(page.source, /PL61|t0k3n/);
  }
});

Deno.test("names, keys and errors of steps are text, whatever they hold", async () => {
  await using board = await testDashboard();
  const odd = `"><img src=x onerror=alert(1)>`;
  const fails = task(taskName(), async () => {
    const { step } = current();
    await step({ name: odd, key: odd }, () => {
      throw new Error(odd);
    }).catch(() => {});
    await step("after", () => odd);
  });
  const { id } = await board.test.ff.run(() => fails.schedule());
  await board.test.drain({ tasks: [fails] });

  const page = await pageOf(await board.get(`/tasks/${id}`));
  const [href] = page.attributes(".steps-table .name", "href");
  for (const shown of [page, await pageOf(await board.get(href!))]) {
    assertEquals([shown.status, shown.count("main img")], [200, 0]);
    assertStringIncludes(shown.text("main")!, odd);
  }
});

Deno.test("10,000 steps are shown 100 at a time, the newest first of the pages", async () => {
  await using board = await testDashboard();
  const { stepped } = await workflowScene(board.test.ff);
  await board.test.db.sql`
    INSERT INTO firefly.step (task_id, name, key, status, seq, attempt, began, ended, returned)
    SELECT ${stepped}::bigint, 'page', n::text, 'completed', n + 2, 1, now() + n * interval '10 ms',
      now() + (n + 1) * interval '10 ms', firefly.encode(to_jsonb(repeat('x', 1000)))
    FROM generate_series(1, 9998) AS n
  `;
  const newest = await pageOf(await board.get(`/tasks/${stepped}`));

  assertEquals(rowsOf(newest).length, 100);
  assertEquals(rowsOf(newest).at(-1)![0], "10000");
  assertEquals(newest.text("#steps + span"), "10,000 steps, 9,901 to 10,000");
  assert(newest.source.length < 200_000, `${newest.source.length} bytes`);
  const links = (page: HtmlPage) => page.attributes(".panel > footer a", "href");
  assertEquals(links(newest), [`/tasks/${stepped}?steps=9900#steps`]);

  const earlier = await pageOf(await board.get(`/tasks/${stepped}?steps=9900`));
  assertEquals([rowsOf(earlier)[0]![0], rowsOf(earlier).at(-1)![0]], ["9801", "9900"]);
  assertEquals(links(earlier), [`/tasks/${stepped}?steps=9800#steps`, `/tasks/${stepped}#steps`]);
  const first = await pageOf(await board.get(`/tasks/${stepped}?steps=60`));
  assertEquals([rowsOf(first)[0]![0], rowsOf(first).length], ["1", 60]);
  for (const odd of ["0", "-5", "x", "99999999999"]) {
    assertEquals(rowsOf(await pageOf(await board.get(`/tasks/${stepped}?steps=${odd}`))).length > 0, true, odd);
  }
});

Deno.test("the page of a task says what it depends on, what depends on it, what it calls and what called it", async () => {
  await using board = await testDashboard();
  const { steps, dependent, graph } = await workflowScene(board.test.ff);
  const related = async (id: number) => (await pageOf(await board.get(`/tasks/${id}`))).text("#related-now")!;

  assertMatch(await related(dependent), /Depends on12 of 13 ended, 8 showncsv\.extract #\d+ Completed/);
  assertMatch(await related(graph), /Depends oncsv\.merge #\d+ Completed/);
  const calls = await related(steps);
  assertMatch(calls, /Calls3 of 3 endedlabel\.print #\d+ Completed/);
  const callee = Number(/#(\d+)/.exec(calls)![1]);
  assertEquals(await related(callee), `Related tasksGraph Called byorder.process #${steps} Suspended`);
  const merge = Number(/csv\.merge #(\d+)/.exec(await related(graph))![1]);
  assertMatch(await related(merge), /Dependantsreport\.send #\d+ Completed/);
});

import { assertEquals, assertMatch, assertNotMatch } from "@std/assert";
import { dashboard } from "../../dashboard.ts";
import { Firefly } from "../../mod.ts";
import { pageOf } from "../support/html.ts";
import { rolesDatabase } from "../support/roles.ts";

/** What only arguments, messages, notes and keys hold. */
const MARKER = "only-in-values";

const ROWS = `
  INSERT INTO firefly.task (func_name, params, tags) VALUES ('mail.send', '${MARKER}', '{nightly}');
  INSERT INTO firefly.task (func_name, queue, params, status, failed, started, errors, progress_note, unique_key)
  VALUES ('pdf.render', 'docs', '${MARKER}', 'failed', now(), now(),
    '[{"name": "HttpError", "message": "${MARKER}", "attempt": 1, "at": "2026-11-29T14:00:00Z"}]', '${MARKER}', '${MARKER}');
`;

Deno.test("pages of tasks show a viewer of the database all but arguments, results, messages and keys", async () => {
  await using roles = await rolesDatabase();
  await roles.run("owner", ROWS);
  const [created, failed] = await roles.run("owner", "SELECT id FROM firefly.task ORDER BY id");
  await using ff = new Firefly({ database: roles.urlOf("viewer"), schema: roles.schema });
  const errors: unknown[] = [];
  ff.on("dashboard.error", ({ error }) => errors.push(error));
  const board = dashboard({ firefly: ff, open: true });
  const get = async (path: string) => {
    const page = await pageOf(await board.fetch(new Request(`http://localhost${path}`)));
    assertNotMatch(page.source, new RegExp(`${MARKER}|does not allow that`), path);
    return page;
  };
  const names = async (q: string) => (await get(`/tasks?${new URLSearchParams({ q })}`)).texts("tbody a.name");

  assertEquals(await names(""), ["pdf.render", "mail.send"]);
  assertEquals(await names("status:failed"), ["pdf.render"]);
  assertEquals(await names("status:due"), ["mail.send"]);
  assertEquals(await names("queue:docs"), ["pdf.render"]);
  assertEquals(await names("name:mail.send"), ["mail.send"]);
  assertEquals(await names(`id:${created!.id}`), ["mail.send"]);
  assertMatch((await get("/tasks?q=args:only")).text("main")!, /filter by status, queue, name and id alone/);
  const task = await get(`/tasks/${failed!.id}`);
  assertEquals([task.status, task.text("h1"), task.text(".head .s")], [200, `pdf.render #${failed!.id}`, "Failed"]);
  assertMatch(task.text(".facts")!, /ErrorHttpError/);
  assertEquals((await get("/tasks/999")).status, 404);
  assertEquals(task.count("main form, main .acts a"), 0);
  assertEquals(errors, []);
  board.close();
});

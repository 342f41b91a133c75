import { assertEquals, assertMatch, assertNotMatch, assertStringIncludes } from "@std/assert";
import { dashboard } from "../../dashboard.ts";
import { Firefly } from "../../mod.ts";
import { pageOf } from "../support/html.ts";
import { rolesDatabase } from "../support/roles.ts";

/** What only messages of errors, arguments and keys hold. */
const MARKER = "only-in-messages";

/** Rows of every table that these pages read. `firefly` is the schema. */
const ROWS = `
  INSERT INTO firefly.consumer (id, host, pid, version, queues, tasks, concurrency, lease_until)
  VALUES ('00000000-0000-4000-8000-000000000001', 'web-1', 7, '0.0.0', '{default}', '{mail.send}', 10, now() + interval '1 hour');
  INSERT INTO firefly.task (func_name, params) SELECT 'mail.send', '${MARKER}' FROM generate_series(1, 3);
  DELETE FROM firefly.ready;
  INSERT INTO firefly.claim_batch (id, consumer_id, ids, lengths, claim_seqs)
  SELECT gen_random_uuid(), '00000000-0000-4000-8000-000000000001', ARRAY[min(id)], ARRAY[2], ARRAY[0] FROM firefly.task;
  INSERT INTO firefly.ready (id, not_before, claim_seq, priority, queue, func_name)
  SELECT max(id), now(), 0, 0, 'default', 'mail.send' FROM firefly.task;
  INSERT INTO firefly.waiting (id, claim_seq, not_before, priority, queue, func_name, reason, rate_key)
  VALUES (9, 0, now(), 0, 'default', 'mail.send', 'rate', '${MARKER}');
  INSERT INTO firefly.waiting (id, claim_seq, not_before, priority, queue, func_name, reason, suspended)
  VALUES (8, 0, now(), 0, 'default', 'mail.send', 'suspended', true);
  INSERT INTO firefly.step (task_id, name, key, kind, status, attempt, began, returned)
  VALUES (8, 'approved', '${MARKER}', 'signal', 'waiting', 1, now(), '${MARKER}');
  INSERT INTO firefly.cron (name, names, expression, timezone, missed, task, definition)
  VALUES ('mail.send', '{mail.send}', '0 3 * * *', 'UTC', 'skip', '{"queue": "default", "params": "${MARKER}"}', '');
  INSERT INTO firefly.cron_slot (cron, slot, task_id) SELECT 'mail.send', now(), min(id) FROM firefly.task;
  INSERT INTO firefly.error_group (fingerprint, queue, func_name, name, message, first, last, attempts, last_task_id)
  VALUES (1, 'default', 'mail.send', 'HttpError', '${MARKER}', now(), now(), 12, 1);
  INSERT INTO firefly.task_minute (minute, queue, func_name, retried) VALUES (date_trunc('minute', now()), 'default', 'mail.send', 12);
`;

Deno.test("overview, queues, crons, consumers and waits show a viewer of the database all but messages, keys and history", async () => {
  await using roles = await rolesDatabase();
  await roles.run("owner", ROWS);
  await using ff = new Firefly({ database: roles.urlOf("viewer"), schema: roles.schema });
  const board = dashboard({ firefly: ff, open: true });
  const errors: unknown[] = [];
  ff.on("dashboard.error", ({ error }) => errors.push(error));
  const get = async (path: string) => {
    const page = await pageOf(await board.fetch(new Request(`http://localhost${path}`)));
    assertEquals(page.status, 200, `${path}: ${errors.map(String).join("; ")}`);
    assertNotMatch(page.source, new RegExp(`${MARKER}|does not allow that`), path);
    return page;
  };

  const overview = await get("/");
  const queues = await get("/queues");
  const queue = await get("/queues/default");
  const crons = await get("/crons");
  const consumers = await get("/consumers");
  const waits = await get("/waits");
  board.close();

  assertMatch(overview.text(".alerts li")!, /^mail\.send fails: 12 of 12 attempts in the last hour ?HttpError/);
  assertMatch(overview.texts(".tiles > *")[1]!, /^Running ?2 ?of 10 places, 20%$/);
  assertMatch(overview.text("#fails-now tbody tr")!, /^mail\.send HttpError ?12 ?0/);
  assertEquals(queues.rows("#rows tr")[0]!.slice(0, 2), ["default", "Active"]);
  for (const page of [queues, queue]) assertStringIncludes(page.source, "read no keys of limits");
  assertEquals(queue.rows("#names-now tbody tr")[0]!.slice(0, 4), ["mail.send", "1", "2", "2"]);
  const cron = crons.rows("#rows tr")[0]!;
  assertEquals(cron.slice(1, 4), ["At 03:00, every day0 3 * * * UTC", "Active", "–"]);
  assertMatch(cron[4]!, /^Running (now|\d+s ago)$/);
  for (const page of [overview, waits]) assertMatch(page.text("main")!, /Signal ?approved ?1/);
  assertMatch(consumers.text("#rows tr")!, /mail\.send ×2$/);
});

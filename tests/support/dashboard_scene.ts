import { Firefly } from "../../mod.ts";
import { parkUnknownTasks } from "../../src/store/waiting.ts";
import { registerSceneConsumers } from "./dashboard_scene_consumers.ts";
import { CRON_NAMES, insertSceneCrons } from "./dashboard_scene_crons.ts";
import { HOSTILE, HOSTILE_TEXT, insertKinds, NEWEST, PAST, PRESENT, TO_RUN } from "./dashboard_scene_kinds.ts";
import { insertSceneLog } from "./dashboard_scene_log.ts";
import { insertSceneStatistics } from "./dashboard_scene_statistics.ts";
import { WORKFLOW_TASKS, type WorkflowIds, workflowScene } from "./dashboard_scene_workflow.ts";
import {
  bigValues,
  billingCharge,
  crmSync,
  hostile,
  mailSend,
  mediaTranscode,
  pdfRender,
  SCENE_TASKS,
  searchIndex,
  smsSend,
  webhooksDeliver,
} from "./dashboard_tasks.ts";
import type { TestDatabase } from "./database.ts";
import { ROTATED } from "./encryption.ts";
import { withoutTriggers } from "./records.ts";

/** What a page of the scene may be asked for. */
export interface Scene extends AsyncDisposable {
  readonly ff: Firefly;
  /** Ids of tasks, each of a kind that a page shows differently. */
  readonly ids: Readonly<Record<SceneTask, number>>;
}

/** A task that stands for its kind. */
export type SceneTask =
  | "failed"
  | "hostile"
  | "completed"
  | "big"
  | "undecryptable"
  | "cancelled"
  | "retrying"
  | "running"
  | "limited"
  | "unknown"
  | "paused"
  | "unserved"
  | "delayed"
  | "due"
  | keyof WorkflowIds;

/**
 * Fills a database with everything that a page can show: the busy hour of a shop whose mail server refuses to work. With
 * `hostile`, some names, hosts and values are what an attacker, or a careless program, would choose.
 */
export async function busyScene(db: TestDatabase, { hostile: isHostile = true } = {}): Promise<Scene> {
  const ff = new Firefly({ database: db.url, encryption: ROTATED });
  await insertSceneCrons(db, { hostile: isHostile });
  await insertKinds(db, PAST);
  const ran = { ...await workflowScene(ff), ...await runSome(ff, db, { isHostile }) };
  const names = [...[...SCENE_TASKS, ...WORKFLOW_TASKS].map(({ funcName }) => funcName), ...CRON_NAMES];
  const consumers = await registerSceneConsumers(db, names, { hostile: isHostile });
  await limitSome(ff, db);
  await insertKinds(db, [...PRESENT, ...NEWEST, ...(isHostile ? HOSTILE : [])]);
  await groupFailures(db);
  await consumers.claimAll();
  await ageClaims(db);
  await insertSceneStatistics(db);
  await ff.pause("reports", { by: "ana@shop.example", reason: "the warehouse is being rebuilt" });
  await db.sql`UPDATE firefly.queue SET paused_since = now() - interval '3 hours 12 minutes' WHERE name = 'reports'`;
  await parkUnknownTasks(db.store, ["default"]);
  const ids = { ...ran, ...await findTasks(db) };
  await insertSceneLog(db, { ...ids, hostile: isHostile ? HOSTILE_TEXT : "" });
  await db.sql`ANALYZE`;
  const timer = setInterval(() => void consumers.renew().catch(() => {}), 1000); // no consumer runs that would
  return {
    ff,
    ids,
    async [Symbol.asyncDispose]() {
      clearInterval(timer);
      await ff.close();
    },
  };
}

/** Fills a database in which nothing needs attention: all tasks have completed, and one consumer waits. */
export async function quietScene(db: TestDatabase): Promise<Firefly> {
  const ff = new Firefly({ database: db.url });
  await ff.run(() => searchIndex.scheduleMany(Array.from({ length: 30 }, (_, i) => ["product", i])));
  await ff.consume({ tasks: [searchIndex], drain: true }).finished;
  await registerSceneConsumers(db, [searchIndex.funcName], { only: "web-1" });
  await insertSceneStatistics(db, { calm: true });
  return ff;
}

/** Runs tasks by a real consumer, so that their records, errors and failures are as Firefly writes them. */
async function runSome(
  ff: Firefly,
  db: TestDatabase,
  { isHostile }: { isHostile: boolean },
): Promise<Pick<Scene["ids"], "failed" | "hostile" | "completed" | "big" | "undecryptable" | "cancelled">> {
  const mail = {
    template: "welcome",
    to: "ana@example.org",
    token: "s3cret",
    sendAt: new Date("2026-11-29T14:21:00Z"),
  };
  const [failed, completed, big, cancelled] = await ff.run(() =>
    Promise.all([
      mailSend.with({ maxRetries: 0, tags: ["welcome", "tenant-88"], unique: "welcome:4711" }).schedule(4711, mail),
      pdfRender.schedule("INV-2026-11840"),
      bigValues.schedule(Array.from({ length: 400 }, (_, i) => ({ id: i, name: `row ${i}`, nested: [[[i]]] }))),
      crmSync.schedule("globex", 7),
      billingCharge.schedule("ord_91822", { cardNumber: "4242 4242 4242 4242", amount: 12.5 }),
      webhooksDeliver.schedule("ord_91822"),
    ])
  );
  const tags = [HOSTILE_TEXT.slice(0, 60)];
  const odd = isHostile
    ? await ff.run(() => hostile.with({ tags }).schedule(HOSTILE_TEXT, { [HOSTILE_TEXT]: HOSTILE_TEXT }))
    : failed;
  await ff.tasks.cancel({ ids: [cancelled.id] });
  await ff.consume({ tasks: SCENE_TASKS, queues: ["default", "mail", "webhooks"], drain: true }).finished;
  // As if its process had stopped a quarter of an hour ago: no other consumer serves webhooks.
  await db.sql`DELETE FROM firefly.consumer`;
  await spreadAttempts(db, failed.id);
  return {
    failed: failed.id,
    hostile: odd.id,
    completed: completed.id,
    big: big.id,
    undecryptable: await scheduleSealed(db),
    cancelled: cancelled.id,
  };
}

/** Makes it look as if a task that failed at once had failed four times, after longer and longer waits. */
async function spreadAttempts(db: TestDatabase, id: number): Promise<void> {
  await withoutTriggers(db, async (sql) => {
    await sql`
      UPDATE firefly.task
      SET created = failed - interval '619 s', not_before = failed - interval '480 s', retry_attempts = 3, max_retries = 3,
        errors = (
          SELECT jsonb_agg((errors -> 0) || jsonb_build_object(
            'attempt', nth, 'at', failed - ago * interval '1 s', 'seconds', seconds, 'host', 'mail-2', 'pid', 4121,
            'release', '0.4.0', 'stack', E'HttpError: 421 4.7.0 too many connections from 10.0.3.17\n'
              || E'    at deliver (file:///app/tasks/mail.ts:41:13)\n    at send (file:///app/tasks/mail.ts:18:9)'
          ) ORDER BY nth)
          FROM (VALUES (1, 618.5, 0.031), (2, 600, 0.028), (3, 480, 0.412), (4, 0, 0.031)) AS attempt (nth, ago, seconds)
        )
      WHERE id = ${id}
    `;
  });
}

/** Schedules a task by a key that the instance of the scene does not have: it can neither read nor hide its arguments. */
async function scheduleSealed(db: TestDatabase): Promise<number> {
  const encryption = { keys: { lost: btoa("k".repeat(32)) }, current: "lost" };
  await using other = new Firefly({ database: db.url, encryption });
  const sealed = await other.run(() => pdfRender.with({ delay: "1d" }).schedule("INV-2026-0001"));
  return sealed.id;
}

/** Groups failures by their errors, as consumers would have done while they happened. */
async function groupFailures(db: TestDatabase): Promise<void> {
  await db.sql`TRUNCATE firefly.error_group`;
  await db.sql`
    INSERT INTO firefly.error_group (fingerprint, queue, func_name, name, message, first, last, attempts, last_task_id)
    SELECT fingerprint, min(failed_task.queue), min(failed_task.func_name), min(errors -> -1 ->> 'name'),
      min(errors -> -1 ->> 'message'),
      -- The mail server fails since this hour, and names of attackers came up now; the others fail now and then.
      min(failed_task.failed) - CASE
        WHEN min(failed_task.func_name) ~ '^(mail.send|import.hostile|[^a-w])' THEN interval '0' ELSE interval '17 days'
      END,
      max(failed_task.failed), count(*) * 6, max(task_id)
    FROM firefly.failed_task
    JOIN firefly.task ON task.id = failed_task.task_id
    GROUP BY fingerprint
  `;
}

/** Schedules tasks that wait for a limit, some minutes ago. */
async function limitSome(ff: Firefly, db: TestDatabase): Promise<void> {
  const file = (i: number) => `s3://uploads/${i}/b.mov`;
  await ff.run(async () => {
    await smsSend.scheduleMany(Array.from({ length: 1203 }, (_, i) => [`+48 500 ${100_000 + i}`]));
    await crmSync.scheduleMany(Array.from({ length: 36 }, (_, i) => ["acme", i]));
    await mediaTranscode.scheduleMany(Array.from({ length: 45 }, (_, i) => [file(i), { sizes: [360, 720, 1080] }]));
  });
  await withoutTriggers(db, async (sql) => {
    await sql`
      WITH aged AS (
        UPDATE firefly.task SET created = created - interval '13 minutes', not_before = not_before - interval '13 minutes'
        WHERE id IN (SELECT id FROM firefly.waiting WHERE reason <> 'time')
        RETURNING id, not_before
      )
      UPDATE firefly.waiting SET not_before = aged.not_before FROM aged WHERE waiting.id = aged.id
    `;
    await sql`
      INSERT INTO firefly.slot (kind, key, task_id, taken, per, until)
      SELECT 'rate', 'smtp-relay', -n, now(), 60, now() + (4 + n * 0.5) * interval '1 s' FROM generate_series(1, 100) AS n
    `;
  });
}

/** Makes it look as if the running tasks had begun a while ago, one kind of them with progress. */
async function ageClaims(db: TestDatabase): Promise<void> {
  await withoutTriggers(db, async (sql) => {
    await sql`UPDATE firefly.task SET priority = 0 WHERE priority = ${TO_RUN}`;
    await sql`
      UPDATE firefly.claim_batch
      SET claimed = now() - CASE task.func_name
        WHEN 'media.transcode' THEN interval '12 minutes 20 s' WHEN 'crm.sync' THEN interval '14 s' ELSE interval '2 s'
      END
      FROM firefly.task
      WHERE task.id = claim_batch.ids[1]
    `;
    await sql`
      UPDATE firefly.task
      SET progress = 0.64 - 0.11 * (id % 4), progress_note = '1080p, frame 23,040 of 36,000'
      WHERE func_name = 'media.transcode' AND id IN (SELECT id FROM firefly._claimed_task)
    `;
  });
}

async function findTasks(
  db: TestDatabase,
): Promise<
  Pick<Scene["ids"], "retrying" | "running" | "limited" | "unknown" | "paused" | "unserved" | "delayed" | "due">
> {
  const [row] = await db.sql`
    SELECT min(id) FILTER (WHERE state = 'retrying')::integer AS retrying,
      min(id) FILTER (WHERE state = 'running' AND func_name = 'media.transcode')::integer AS running,
      max(id) FILTER (WHERE state = 'limited')::integer AS limited,
      min(id) FILTER (WHERE state = 'unknown' AND func_name = 'pdf.rendr')::integer AS unknown,
      min(id) FILTER (WHERE queue = 'reports')::integer AS paused,
      min(id) FILTER (WHERE state = 'ready' AND queue = 'webhooks')::integer AS unserved,
      min(id) FILTER (WHERE state = 'delayed' AND func_name = 'mail.digest')::integer AS delayed,
      max(id) FILTER (WHERE state = 'ready' AND queue = 'default')::integer AS due
    FROM firefly.task_record
    WHERE status IN ('created', 'running')
  `;
  return row as Awaited<ReturnType<typeof findTasks>>;
}

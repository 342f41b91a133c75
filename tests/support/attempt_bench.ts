import type { TaskOptions } from "../../mod.ts";
import { Attempt } from "../../src/attempt/attempt.ts";
import type { AttemptEnvironment } from "../../src/attempt/environment.ts";
import type { AttemptOutcome } from "../../src/settle/outcome_events.ts";
import { defineTask, type Handler } from "../../src/task/definition.ts";
import type { Events } from "../../src/events.ts";
import { Firefly } from "../../src/firefly/firefly.ts";
import { Slots } from "../../src/attempt/slots.ts";
import { ResultReader } from "../../src/attempt/results.ts";
import { Settler } from "../../src/settle/settler.ts";
import { StepSettler } from "../../src/settle/step_settler.ts";
import { SuspendSettler } from "../../src/settle/suspend_settler.ts";
import type { ErrorRow } from "../../src/store/rows.ts";
import { decode } from "../../src/wire/decode.ts";
import { testConfig } from "./consumer_config.ts";
import { type TestDatabase, testDatabase } from "./database.ts";
import { claimOne, startConsumer } from "./claiming.ts";
import { insertTask, recordOf } from "./records.ts";
import { TcpProxy } from "./tcp_proxy.ts";

export interface AttemptOptions {
  /** Options of the definition. */
  options?: Partial<TaskOptions>;
  /** Columns of the record. */
  columns?: Record<string, unknown>;
}

/** One claimed task and its attempt, begun. */
export interface Begun {
  id: number;
  consumerId: string;
  attempt: Attempt;
  ending: Promise<AttemptOutcome>;
}

/** What attempts run in, without the loop of a consumer. */
export interface Bench extends AsyncDisposable {
  db: TestDatabase;
  /** Stands between the attempts and the database. */
  proxy: TcpProxy;
  env: AttemptEnvironment;
  heard: { event: string; detail: Record<string, unknown> }[];
  begin(handler: Handler, options?: AttemptOptions): Promise<Begun>;
  /** Runs a handler to the attempt's end, and reads the record. */
  run(handler: Handler, options?: AttemptOptions): Promise<{ ending: AttemptOutcome; record: Outcome }>;
}

export interface Outcome {
  status: string;
  returned: unknown;
  errors: ErrorRow[];
  retry_attempts: number;
  snoozes: number;
  progress: number | null;
  progress_note: string | null;
}

/** Runs an attempt to its end. */
export function run(attempt: Attempt): Promise<AttemptOutcome> {
  return new Promise((resolve) => attempt.start((_, outcome) => resolve(outcome)));
}

export async function bench({ leaseMs = 30_000 } = {}): Promise<Bench> {
  const db = await testDatabase();
  const proxy = await TcpProxy.start(db.url);
  const instance = new Firefly({ database: proxy.through(db.url) });
  const { database: { sql }, sessions } = await instance.connect();
  const { events } = instance;
  const { hooks, keys, redactor } = instance;
  const settler = new Settler(sql);
  const env = {
    config: testConfig({ leaseMs }),
    instance,
    sql,
    sessions,
    slots: new Slots(1),
    settler,
    results: new ResultReader(sql),
    stepSettler: new StepSettler(sql),
    suspendSettler: new SuspendSettler(sql, settler),
    events,
    hooks,
    keys,
    redactor,
  };
  const heard: Bench["heard"] = [];
  const names: (keyof Events)[] = [
    "started",
    "completed",
    "failed",
    "retried",
    "suspended",
    "returned",
    "cancelled",
    "lost",
    "log",
  ];
  for (const event of names) events.on(event, (detail) => heard.push({ event, detail: { ...detail } }));
  const begin = async (handler: Handler, { options = {}, columns = {} }: AttemptOptions = {}) => {
    const consumerId = await startConsumer(db);
    const id = await insertTask(db, columns);
    const task = await claimOne(db, consumerId);
    env.settler.track(task.batchId, 1);
    const attempt = new Attempt(task, defineTask({ name: "test.task", ...options }, handler), env);
    return { id, consumerId, attempt, ending: run(attempt) };
  };
  return {
    db,
    proxy,
    env,
    heard,
    begin,
    async run(handler, options) {
      const { id, ending } = await begin(handler, options);
      const [ended, row] = [await ending, await recordOf(db, id)];
      const returned = row.returned === null ? null : decode(row.returned as string);
      return { ending: ended, record: { ...row, returned } as unknown as Outcome };
    },
    async [Symbol.asyncDispose]() {
      await env.settler.idle();
      await instance.close();
      await proxy[Symbol.asyncDispose]();
      await db[Symbol.asyncDispose]();
    },
  };
}

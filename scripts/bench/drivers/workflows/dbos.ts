import { load } from "../packages.ts";
import { numberOf, type Setup } from "../driver.ts";
import { type Hooks, type Kind, lanes, LENGTH, LONG, type WorkflowDriver } from "./driver.ts";

type Workflow = (workflow: number, width: number) => Promise<number>;

interface Handle {
  readonly workflowID: string;
  getResult(): Promise<number>;
}

interface Dbos {
  setConfig(config: object): void;
  launch(): Promise<void>;
  migrate(url: string): Promise<void>;
  registerWorkflow(fn: Workflow, options: { name: string }): Workflow;
  runStep(fn: () => Promise<number>, options: { name: string }): Promise<number>;
  startWorkflow(fn: Workflow, options?: object): (workflow: number, width: number) => Promise<Handle>;
  sleep(milliseconds: number): Promise<void>;
  recv(topic: string, seconds: number): Promise<{ sent: number } | null>;
}

interface Sdk {
  readonly DBOS: Dbos;
  readonly DBOSClient: { create(options: { systemDatabaseUrl: string }): Promise<Client> };
}

interface Client {
  send(workflow: string, message: { sent: number }, topic: string): Promise<void>;
}

type Statement = (texts: TemplateStringsArray, ...values: unknown[]) => Promise<unknown>;
type Insert = (workflow: number, i: number) => Promise<void>;

interface DataSources {
  readonly PostgresDataSource: {
    readonly client: Statement;
    new (name: string, options: object): { registerTransaction(fn: Insert, options: { name: string }): Insert };
  };
}

interface Sql extends Statement {
  unsafe(text: string): Promise<Record<string, unknown>[]>;
  end(): Promise<void>;
}

const TOPIC = "go";

/**
 * DBOS. Its workflows are called directly, without a queue, which is the quickest; those of a fan-out, and those that
 * wait, are started in the background. Inserts are transactions of its data source for postgres.js.
 */
export function openWorkflows({ url, packages, config }: Setup): WorkflowDriver {
  const { DBOS, DBOSClient } = load<Sdk>(packages, "@dbos-inc/dbos-sdk");
  const { hostname: host, port, username: user, pathname } = new URL(url);
  const max = numberOf(config, "connections");
  const options = { host, port: Number(port), user, database: pathname.slice(1), max, onnotice() {} };
  let hooks: Hooks;
  let workflows: Record<Kind | "asleep" | "waiting", Workflow>;
  let client: Promise<Client> | undefined;
  let isLaunched = false;
  return {
    async install() {
      await DBOS.migrate(url);
      const sql = load<(url: string, options: object) => Sql>(packages, "postgres")(url, { max: 1, onnotice() {} });
      await fitDataSource(packages).initializeDataSourceSchemaPG((text) => sql.unsafe(text));
      await sql`CREATE TABLE effect (workflow integer NOT NULL, i integer NOT NULL)`;
      await sql.end();
    },
    async start(given) {
      hooks = given;
      if (isLaunched) return;
      isLaunched = true;
      fitDataSource(packages);
      const { PostgresDataSource } = load<DataSources>(packages, "@dbos-inc/postgres-datasource");
      const source = new PostgresDataSource("app", options);
      const insert = source.registerTransaction(async (workflow, i) => {
        await PostgresDataSource.client`INSERT INTO effect (workflow, i) VALUES (${workflow}, ${i})`;
        hooks.onDone();
      }, { name: "insert" });
      DBOS.setConfig({ name: "bench", systemDatabaseUrl: url, systemDatabasePoolSize: max, logLevel: "error" });
      workflows = register(DBOS, { insert, hooks: () => hooks });
      await DBOS.launch();
    },
    async run(kind, { count, at, width }) {
      // What sleeps stays in its process, so all of them may.
      const together = kind === "sleep" ? count : kind === "fan" ? 1 : at;
      const run = workflows[kind]; // it takes its "this" for an instance
      await lanes(together, count, (workflow) => run(workflow, width));
    },
    async begin(kind, count) {
      const addresses: string[] = [];
      await lanes(max, count, async (i) => {
        addresses.push((await DBOS.startWorkflow(workflows[kind])(i, 0)).workflowID);
      });
      return addresses;
    },
    async signal(address, sent) {
      await (await (client ??= DBOSClient.create({ systemDatabaseUrl: url }))).send(String(address), { sent }, TOPIC);
    },
  };
}

function register(
  DBOS: Dbos,
  { insert, hooks }: { readonly insert: Insert; readonly hooks: () => Hooks },
): Record<Kind | "asleep" | "waiting", Workflow> {
  const step = (name: string) =>
    DBOS.runStep(() => {
      hooks().onDone();
      return Promise.resolve(1);
    }, { name });
  const workflow = (name: string, fn: Workflow) => DBOS.registerWorkflow(fn, { name });
  const member = workflow("member", (i) => {
    hooks().onDone();
    return Promise.resolve(i);
  });
  return {
    steps: workflow("steps", async () => {
      for (let i = 0; i < LENGTH; i++) await step(`step ${i}`);
      return 1;
    }),
    inserts: workflow("inserts", async (workflow) => {
      for (let i = 0; i < LENGTH; i++) await insert(workflow, i);
      return 1;
    }),
    fan: workflow("fan", async (_, width) => {
      const handles: Handle[] = [];
      for (let i = 0; i < width; i++) handles.push(await DBOS.startWorkflow(member)(i, 0));
      const numbers = await Promise.all(handles.map((handle) => handle.getResult()));
      return numbers.reduce((a, b) => a + b, 0);
    }),
    chain: workflow("chain", async () => {
      let last = 0;
      for (let i = 0; i < LENGTH; i++) last = await member(last, 0);
      return last;
    }),
    sleep: workflow("sleep", async () => {
      await step("before");
      await DBOS.sleep(1000);
      return await step("after");
    }),
    asleep: workflow("asleep", async () => {
      hooks().onWait();
      await DBOS.sleep(LONG * 1000);
      return 1;
    }),
    waiting: workflow("waiting", async () => {
      hooks().onWait();
      hooks().onGoOn((await DBOS.recv(TOPIC, LONG))?.sent);
      return 1;
    }),
  };
}

/**
 * The newest data sources were published for an SDK that still had a function which they call: it asks whether their
 * table is there. The SDK makes that table by another one now.
 */
function fitDataSource(packages: string) {
  const module = load<
    {
      checkSchemaInstallationPG?: () => string;
      initializeDataSourceSchemaPG(run: (text: string) => Promise<Record<string, unknown>[]>): Promise<void>;
    }
  >(packages, "@dbos-inc/dbos-sdk/datasource");
  module.checkSchemaInstallationPG ??= () => "SELECT true AS schema_exists, true AS table_exists";
  return module;
}

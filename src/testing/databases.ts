import { createHash, randomUUID } from "node:crypto";
import { openClient } from "../database/driver.ts";
import { codeOf } from "../database/error_codes.ts";
import type { ConnectionSettings } from "../database/settings.ts";
import { FireflyError } from "../errors.ts";
import { migrate } from "../schema/migrator.ts";
import { MIGRATIONS } from "../schema/migrations.ts";
import { CLOCK_TEXT, useClock } from "../store/test_clock.ts";
import {
  closeDatabase,
  commitInMemory,
  type CopyStrategy,
  createDatabase,
  dropDatabase,
  findLeftDatabases,
  findOldTemplates,
  lockTemplates,
  noteTemplate,
  readTemplate,
  readTestServer,
  reloadSettings,
  renameDatabase,
  setServerSetting,
  TEMPLATE_PREFIX,
  unlockTemplates,
} from "../store/test_databases.ts";
import { AdminConnection } from "./admin.ts";

/** What databases of tests are made of. */
export interface TestDatabasesOptions {
  /** The schema of Firefly's tables. */
  readonly schema: string;
  /** Whether each database has a clock of its own. */
  readonly hasClock: boolean;
  /** How the server copies the template. @default "wal_log" */
  readonly strategy?: CopyStrategy;
  /** What is to be set in the server, once. */
  readonly serverSettings?: Readonly<Record<string, string>>;
}

/** Makes what tests need in a database that others are then copied from. */
export interface Setup {
  /** What stands for it: with the same one, it runs only once. */
  readonly key: object;
  /** Fills the database. */
  run(settings: ConnectionSettings): Promise<void>;
}

const UNDEFINED_DATABASE = "3D000";
const DUPLICATE_DATABASE = "42P04";
const OBJECT_IN_USE = "55006";
/** The most databases of killed tests that one call drops. */
const MOST_LEFT = 20;

/** The databases of setups by server and template, made once for each JavaScript context. */
const setupDatabases = new WeakMap<object, Map<string, Promise<string>>>();
/** The servers on which this JavaScript context has looked for databases that others left. */
const cleaned = new Set<string>();

/**
 * Makes databases for tests, as copies of a template, and drops them. They belong to its connection: the databases of a
 * process that was killed are dropped by a later one.
 */
export class TestDatabases {
  readonly #admin: AdminConnection;
  readonly #settings: ConnectionSettings;
  readonly #options: TestDatabasesOptions;
  #owner = "";
  #role = "";

  private constructor(settings: ConnectionSettings, options: TestDatabasesOptions) {
    this.#settings = settings;
    this.#options = options;
    this.#admin = new AdminConnection(settings);
  }

  /**
   * Connects, makes the template if there is none yet, and drops what killed tests have left.
   *
   * @throws {FireflyError} If the role may not create databases.
   * @throws {DatabaseUnreachable} If it cannot connect.
   */
  static async open(settings: ConnectionSettings, options: TestDatabasesOptions): Promise<TestDatabases> {
    const databases = new TestDatabases(settings, options);
    try {
      await databases.#prepare();
      return databases;
    } catch (error) {
      await databases.#admin.end();
      throw error;
    }
  }

  /** Makes a migrated database, with what `setup` makes, and returns its name. With `isEmpty` it is not migrated. */
  async create({ setup, isEmpty = false }: { setup?: Setup | undefined; isEmpty?: boolean } = {}): Promise<string> {
    if (isEmpty) return await this.#copy("template0");
    if (!setup) return await this.#copy(this.#template);
    const known = setupDatabases.get(setup.key) ?? new Map<string, Promise<string>>();
    setupDatabases.set(setup.key, known);
    const place = `${this.#settings.label} ${this.#template}`;
    for (let tries = 0;; tries++) {
      const made = known.get(place) ?? this.#runSetup(setup);
      known.set(place, made);
      try {
        return await this.#copy(await made);
      } catch (error) {
        if (known.get(place) === made) known.delete(place);
        // Another process has dropped it, as its connection is closed: make it again.
        if (codeOf(error) !== UNDEFINED_DATABASE || tries > 0) throw error;
      }
    }
  }

  /** Lets the process end before this is closed, as long as `isIdle`. */
  setIdle(isIdle: boolean): void {
    this.#admin.setIdle(isIdle);
  }

  /** Drops a database; connections to it end. */
  async drop(name: string): Promise<void> {
    await dropDatabase(this.#admin.sql, name, { force: true });
  }

  /** Closes its connection. */
  async end(): Promise<void> {
    await this.#admin.end();
  }

  /** The name of the template: one for each state of the migrations, schema and role, for all processes and runs. */
  get #template(): string {
    const { schema, hasClock } = this.#options;
    const parts = [...MIGRATIONS.map(({ sql }) => sql), schema, this.#settings.target.user, hasClock ? CLOCK_TEXT : ""];
    return `${TEMPLATE_PREFIX}${createHash("sha256").update(parts.join("\0")).digest("hex").slice(0, 12)}`;
  }

  async #prepare(): Promise<void> {
    const { sql } = this.#admin;
    const { owner, creates, role } = await readTestServer(sql);
    if (!creates) {
      throw new FireflyError(
        `Cannot make a database for a test as role "${role}" may not create databases: ` +
          `run ALTER ROLE "${role}" CREATEDB, or set TEST_DATABASE_URL to a server where it may`,
      );
    }
    [this.#owner, this.#role] = [owner, role];
    await this.#dropLeft();
    if ((await readTemplate(sql, this.#template)).isNoted) return;
    await lockTemplates(sql);
    try {
      const { exists, isNoted } = await readTemplate(sql, this.#template);
      if (!exists) await this.#makeTemplate();
      if (isNoted) return;
      await noteTemplate(sql, this.#template);
      // The lock keeps those whose use is noted at this moment.
      for (const name of await findOldTemplates(sql)) {
        await dropDatabase(sql, name, { force: false }).catch(() => {}); // a process may connect to it
      }
    } finally {
      await unlockTemplates(sql);
    }
  }

  /** Drops databases that killed tests have left, with the first call for a server. */
  async #dropLeft(): Promise<void> {
    const { label } = this.#settings;
    if (cleaned.has(label)) return;
    cleaned.add(label);
    for (const name of await findLeftDatabases(this.#admin.sql, MOST_LEFT)) {
      // Another process may do the same at this moment, or connect to it.
      await dropDatabase(this.#admin.sql, name, { force: false }).catch(() => {});
    }
  }

  async #makeTemplate(): Promise<void> {
    const { schema, hasClock, serverSettings = {} } = this.#options;
    const { sql } = this.#admin;
    const settings = Object.entries(serverSettings);
    for (const [name, value] of settings) await setServerSetting(sql, name, value);
    if (settings.length > 0) await reloadSettings(sql);
    const name = await this.#copy("template0");
    if (hasClock) await runText(this.#on(name), CLOCK_TEXT);
    await migrate(this.#on(name), schema);
    await closeDatabase(sql, name);
    try {
      await renameDatabase(sql, name, this.#template);
    } catch (error) {
      // Connections to other databases of the server do not see the same lock.
      if (codeOf(error) !== DUPLICATE_DATABASE) throw error;
      await this.drop(name);
    }
  }

  async #runSetup(setup: Setup): Promise<string> {
    const name = await this.#copy(this.#template);
    await setup.run(this.#on(name));
    await closeDatabase(this.#admin.sql, name);
    return name;
  }

  /** Makes a copy, whose name says that it belongs to this connection. */
  async #copy(template: string): Promise<string> {
    const { strategy, hasClock, schema } = this.#options;
    const name = `${this.#owner}_${randomUUID().slice(0, 8)}`;
    try {
      await createDatabase(this.#admin.sql, name, { template, strategy });
    } catch (error) {
      if (codeOf(error) !== OBJECT_IN_USE) throw error;
      throw new FireflyError(
        "Cannot copy the database that setup() has filled as there are connections to it: close them in setup()",
        { cause: error },
      );
    }
    if (!hasClock) return name;
    await Promise.all([
      useClock(this.#admin.sql, name, { role: this.#role, schema }),
      commitInMemory(this.#admin.sql, name),
    ]);
    return name;
  }

  #on(database: string): ConnectionSettings {
    return { ...this.#settings, target: { ...this.#settings.target, database } };
  }
}

async function runText(settings: ConnectionSettings, text: string): Promise<void> {
  const client = openClient(settings, {});
  try {
    await client.unsafe(text);
  } finally {
    await client.end({ timeout: 1 });
  }
}

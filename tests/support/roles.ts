import { assert } from "@std/assert";
import postgres from "postgres";
import { resolveConnection } from "../../src/database/settings.ts";
import type { Migration } from "../../src/schema/migrations.ts";
import { migrate } from "../../src/schema/migrator.ts";
import { makeRoles } from "../../src/schema/roles.ts";
import { type RoleKind, roleName, roleNames } from "../../src/store/roles.ts";
import { type TestDatabase, testDatabase } from "./database.ts";

/** Who logs in: a member of a role, the owner of the schema, or somebody who was granted nothing. */
export type Who = RoleKind | "owner" | "nobody";

const LOGINS: readonly Who[] = ["producer", "consumer", "viewer", "owner", "nobody"];

/** A database whose schema has roles, each with a login of its own. */
export interface RolesDatabase extends AsyncDisposable {
  readonly db: TestDatabase;
  /** One of its own, since the roles of a schema are the whole cluster's. */
  readonly schema: string;
  urlOf(who: Who): string;
  login(who: Who): string;
  /** A client that has logged in; the same whenever it is asked for. */
  as(who: Who): postgres.Sql;
  /** Runs `text`, in which `firefly` is the schema. */
  run(who: Who, text: string): Promise<postgres.Row[]>;
  /** What the server answers to `text`: the SQLSTATE of its error, or nothing. */
  refusal(who: Who, text: string): Promise<string | undefined>;
}

/** Makes the database, as an owner who is no superuser; `roles: false` leaves out what `migrate --roles` does. */
export async function rolesDatabase(
  { roles = true, createRole = true, migrations }: {
    roles?: boolean;
    createRole?: boolean;
    migrations?: readonly Migration[];
  } = {},
): Promise<RolesDatabase> {
  const db = await testDatabase({ migrated: false });
  const schema = `probe_${crypto.randomUUID().slice(0, 8)}`;
  const login = (who: Who) => `${schema}_login_${who}`;
  const clients = new Map<Who, postgres.Sql>();
  const urlOf = (who: Who) => Object.assign(new URL(db.url), { username: login(who), password: "secret" }).href;
  for (const who of LOGINS) await db.sql.unsafe(`CREATE ROLE ${login(who)} LOGIN PASSWORD 'secret'`);
  if (createRole) await db.sql.unsafe(`ALTER ROLE ${login("owner")} CREATEROLE`);
  await db.sql.unsafe(`GRANT CREATE ON DATABASE ${new URL(db.url).pathname.slice(1)} TO ${login("owner")}`);
  const settings = await resolveConnection(urlOf("owner"));
  await migrate(settings, schema, () => {}, migrations);
  const made: RolesDatabase = {
    db,
    schema,
    urlOf,
    login,
    as(who) {
      const client = clients.get(who) ?? postgres(urlOf(who), { max: 1, max_lifetime: null, onnotice() {} });
      clients.set(who, client);
      return client;
    },
    async run(who, text) {
      return await made.as(who).unsafe(text.replaceAll("firefly", schema));
    },
    async refusal(who, text) {
      try {
        await made.run(who, text);
      } catch (error) {
        assert(error instanceof postgres.PostgresError, String(error));
        return error.code;
      }
    },
    async [Symbol.asyncDispose]() {
      for (const client of clients.values()) await client.end({ timeout: 1 });
      const names = [...roleNames(schema), ...LOGINS.map(login)];
      const found = await db.sql`SELECT rolname AS name FROM pg_roles WHERE rolname = ANY (${names})`;
      for (const { name } of found) await db.sql.unsafe(`DROP OWNED BY "${name}" CASCADE`);
      for (const { name } of found) await db.sql.unsafe(`DROP ROLE "${name}"`);
      await db[Symbol.asyncDispose]();
    },
  };
  if (roles) {
    await makeRoles(settings, schema);
    await grantLogins(made);
  }
  return made;
}

/** Makes each login a member of its role, as the one who made the roles does. */
export async function grantLogins({ db, schema, login }: RolesDatabase): Promise<void> {
  for (const kind of ["producer", "consumer", "viewer"] as const) {
    await db.sql.unsafe(`GRANT ${roleName(schema, kind)} TO ${login(kind)}`);
  }
}

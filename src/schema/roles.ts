import { Buffer } from "node:buffer";
import type { ConnectionSettings } from "../database/settings.ts";
import { codeOf } from "../database/error_codes.ts";
import { BEGIN_MIGRATING } from "../database/session_settings.ts";
import { FireflyError } from "../errors.ts";
import { lockMigrations } from "./migrator.ts";
import { Session } from "../database/session.ts";
import { createRolesText, findMissingRoles, grantsText, missingRolesText, roleNames } from "../store/roles.ts";

const INSUFFICIENT_PRIVILEGE = "42501";
/** The longest name in bytes. PostgreSQL truncates longer ones, so that two roles could become one. */
const NAME_BYTES = 63;

/** Everything that {@linkcode makeRoles} would run, as text for `psql`. */
export function rolesText(schema: string): string {
  checkNames(schema);
  return `-- roles\n\nBEGIN;\n\n${createRolesText(schema)}\n${grantsText(schema)}\nCOMMIT;\n`;
}

/**
 * Creates the roles of a schema, grants them what this release needs, and resolves to their names. It may be called
 * again: then it creates and grants what is missing, and revokes the rest. The schema must be migrated.
 *
 * @throws {FireflyError} If roles are missing and this user may not create any, or if it does not own the schema.
 */
export async function makeRoles(
  settings: ConnectionSettings,
  schema: string,
  onProgress: (message: string) => void = () => {},
): Promise<string[]> {
  checkNames(schema);
  const names = roleNames(schema);
  // A pooler may stand in between: each transaction sets what it needs.
  const [session, holder] = [1, 2].map(() => new Session({ ...settings, pooled: true })) as [Session, Session];
  const sql = session.tag(schema);
  const run = (text: string) => session.run((client) => client.unsafe(text));
  try {
    await lockMigrations(holder, onProgress);
    const missing = await findMissingRoles(sql, names);
    if (missing.length > 0) {
      await run(createRolesText(schema)).catch((error) =>
        refuse(
          error,
          `may not create roles: have a superuser run ` +
            `${missingRolesText(missing)} and then run "migrate --roles" again`,
        )
      );
    }
    await run(`${BEGIN_MIGRATING} ${grantsText(schema)} COMMIT`).catch((error) =>
      refuse(error, `does not own all of schema "${schema}": run it as the owner, who ran "migrate"`)
    );
    return names;
  } finally {
    session.discard();
    holder.discard();
  }
}

function refuse(error: unknown, reason: string): never {
  if (codeOf(error) !== INSUFFICIENT_PRIVILEGE) throw error;
  throw new FireflyError(`Cannot make the roles as this user ${reason}`, { cause: error });
}

/** Refuses a schema that others share, as revoking the rights of PUBLIC would break them, and names that are too long. */
function checkNames(schema: string): void {
  const action = `Cannot make roles for schema "${schema}"`;
  if (schema === "public") throw new FireflyError(`${action} as it is not Firefly's alone: use another schema`);
  const [name] = roleNames(schema).filter((name) => Buffer.byteLength(name) > NAME_BYTES);
  if (name) throw new FireflyError(`${action} as the name "${name}" is longer than ${NAME_BYTES} bytes`);
}

import { CHECKED_SETTINGS } from "../database/session_settings.ts";
import { quoteIdentifier } from "../database/identifiers.ts";
import {
  readEncoding,
  readGivenSettings,
  readOtherSchemas,
  readPlacingSource,
  readPublishedTables,
  readSecuredTables,
} from "../store/health_schema.ts";
import { type Check, found, listed, ok } from "./check.ts";

const encoding: Check = {
  name: "encoding",
  after: ["connection"],
  async ask(target) {
    const encoding = await target.read(readEncoding);
    if (encoding === "UTF8") return ok(encoding);
    const advice = "Move to a database made with: CREATE DATABASE … TEMPLATE template0 ENCODING 'UTF8'";
    if (encoding === "SQL_ASCII") {
      return found("note", "SQL_ASCII: the server does not check what other programs store as text", advice);
    }
    return found(
      "warning",
      `${encoding}, not UTF8: tags, keys, notes and messages of errors with other characters cannot be stored; ` +
        "arguments and results can",
      advice,
    );
  },
};

/** Settings that only an administrator may decide on, with what they do. */
const OTHERS: Readonly<Record<string, string>> = {
  session_replication_role: "no trigger places new tasks until maintenance finds them",
  default_transaction_read_only: "nothing can be stored",
  row_security: "statements on tables with policies fail",
};

const sessions: Check = {
  name: "session settings",
  after: ["connection"],
  async ask(target) {
    const given = await target.read((sql) =>
      readGivenSettings(sql, [...Object.keys(CHECKED_SETTINGS), ...Object.keys(OTHERS)])
    );
    const harmful = given.filter(({ name, value }) =>
      name === "session_replication_role"
        ? value !== "origin" && value !== "local"
        : name === "row_security" && isOff(value)
    );
    const named = given.map(({ name, value }) => `${name} = ${value}`);
    if (harmful.length > 0) {
      return found(
        "warning",
        listed(harmful.map(({ name, value }) => `${name} = ${value}: ${OTHERS[name]}`)),
        ...harmful.map(({ reset }) => `Take it back: ${reset}`),
      );
    }
    if (given.length === 0) return ok("none that Firefly overrides");
    return found("note", `Firefly's connections use their own instead of ${listed(named)}`);
  },
};

function isOff(value: string): boolean {
  return /^(off|false|no|0)$/i.test(value);
}

const security: Check = {
  name: "row security",
  after: ["connection"],
  async ask(target) {
    const secured = await target.read(readSecuredTables);
    if (secured.length === 0) return ok("off for all tables");
    const { schema } = target.options;
    const name = (table: string) => `${quoteIdentifier(schema)}.${quoteIdentifier(table)}`;
    const hidden = secured.filter(({ active, policies }) => active && !policies);
    const named = listed((hidden.length > 0 ? hidden : secured).map(({ name }) => name));
    const off = (hidden.length > 0 ? hidden : secured).slice(0, 5)
      .map((table) => `Turn it off: ALTER TABLE ${name(table.name)} DISABLE ROW LEVEL SECURITY`);
    if (hidden.length > 0) {
      return found("wrong", `row-level security hides the rows of ${named} from ${target.server!.user}`, ...off);
    }
    // Policies decide then, and only their author knows for which roles.
    const isOpen = secured.every(({ policies }) => policies);
    return isOpen
      ? found("note", `row-level security is on for ${named}, with policies`)
      : found("warning", `row-level security is on for ${named}: other roles than the owner's find no rows`, ...off);
  },
};

const publications: Check = {
  name: "publications",
  after: ["connection"],
  async ask(target) {
    const published = await target.read(readPublishedTables);
    const refused = published.filter(({ changeable }) => !changeable);
    const { schema } = target.options;
    if (refused.length > 0) {
      return found(
        "wrong",
        `the server refuses UPDATE and DELETE on ${
          listed(refused.map(({ name, publication }) => `${name}, published by ${publication}`))
        }`,
        ...[...new Set(refused.map(({ name }) => name))].slice(0, 5).map((name) =>
          `Give it a replica identity: ALTER TABLE ${quoteIdentifier(schema)}.${
            quoteIdentifier(name)
          } REPLICA IDENTITY FULL`
        ),
      );
    }
    const names = [...new Set(published.map(({ publication }) => publication))];
    return ok(names.length > 0 ? `${listed(names)}: all tables have a replica identity` : "none has its tables");
  },
};

const renamed: Check = {
  name: "schema name",
  after: ["connection"],
  async ask(target) {
    const { schema } = target.options;
    const source = await target.read(readPlacingSource);
    if (source === undefined) {
      const others = await target.read(readOtherSchemas);
      if (others.length === 0) return ok(`"${schema}"`);
      return found(
        "note",
        `there is no schema "${schema}", but ${listed(others.map((name) => `"${name}"`))} with the tables of Firefly`,
        `If it was renamed, rename it back: ALTER SCHEMA ${quoteIdentifier(others[0]!)} RENAME TO ${
          quoteIdentifier(schema)
        }`,
      );
    }
    const written = /INSERT INTO "((?:[^"]|"")+)"\.ready/.exec(source)?.[1]?.replaceAll('""', '"');
    if (written === undefined || written === schema) return ok(`"${schema}"`);
    return found(
      "wrong",
      `"${schema}" was made as "${written}", which its functions still name`,
      `Rename it back: ALTER SCHEMA ${quoteIdentifier(schema)} RENAME TO ${
        quoteIdentifier(written)
      }, and set the option schema to "${written}"`,
    );
  },
};

/** The checks of what surrounds the schema: the database, its roles, and who else uses the tables. */
export const ENVIRONMENT_CHECKS: readonly Check[] = [encoding, sessions, security, publications, renamed];

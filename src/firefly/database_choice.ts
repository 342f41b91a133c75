import process from "node:process";
import { DATABASE_VARIABLES, type Environment } from "../database/connection_defaults.ts";
import type { PostgresOptions } from "../database/settings.ts";
import { DatabaseUnreachable } from "../errors.ts";
import { closestName } from "../suggest.ts";

/** The `database` that stands for the PostgreSQL that Firefly starts. */
export const EMBEDDED = "embedded";

const URL_VARIABLES = ["FIREFLY_DATABASE_URL", "DATABASE_URL"];
/** The variables that name a database. The first one set wins; those after the URLs are taken together. */
const VARIABLES: readonly string[] = [...URL_VARIABLES, ...DATABASE_VARIABLES];
/** Names that other programs use for the same. */
const SYNONYMS = [
  "DATABASE_URI",
  "DB_URL",
  "DB_URI",
  "PG_URL",
  "PGURL",
  "POSTGRES_URL",
  "POSTGRES_URI",
  "POSTGRESQL_URL",
];
/** Variables of places where no person sits, even if there is a terminal. */
const DEPLOYED = [
  "CI",
  "KUBERNETES_SERVICE_HOST",
  "DENO_DEPLOYMENT_ID",
  "DYNO",
  "FLY_APP_NAME",
  "K_SERVICE",
  "AWS_EXECUTION_ENV",
];
const STAGES = ["NODE_ENV", "DENO_ENV"];

/** What the choice of a database depends on, beside the option `database`. */
export interface Surroundings {
  readonly environment?: Environment;
  /** Whether a person sits at a terminal. */
  readonly isInteractive?: boolean;
  /** A flag that only deployed consumers have. */
  readonly deployedBy?: string | undefined;
  /** Whether it is for a test, which is never deployed. */
  readonly isTest?: boolean;
}

/**
 * Chooses the database: the option, else what the environment names, else {@linkcode EMBEDDED} if `FIREFLY_EMBEDDED` asks
 * for it, or if a person sits at a terminal. A deployed process whose variable is misspelled must not get a database of
 * its own, which works and is empty.
 *
 * @throws {DatabaseUnreachable} If there is none.
 * @throws {TypeError} If `FIREFLY_EMBEDDED` is neither on nor off.
 */
export function chooseDatabase(
  given: string | PostgresOptions | undefined,
  { environment = process.env, isInteractive = hasTerminal(), deployedBy, isTest = false }: Surroundings = {},
): string | PostgresOptions {
  if (given !== undefined) return given;
  const url = URL_VARIABLES.map((name) => environment[name]).find(Boolean);
  if (url) return url;
  if (DATABASE_VARIABLES.some((name) => environment[name])) return {}; // the PG* variables say it all
  const isAskedFor = switchOf(environment);
  const sign = deployedBy ?? signOfDeployment(environment);
  if (isAskedFor ?? (isTest || isInteractive && !sign)) return EMBEDDED;
  const why = isInteractive && sign && isAskedFor === undefined
    ? `, and ${sign} means that this is no development`
    : "";
  throw new DatabaseUnreachable(
    `Cannot find a database as none of ${VARIABLES.join(", ")} is set${
      suggestionIn(environment)
    }${why}: set one of them, ` +
      `or ask for the embedded PostgreSQL with --embedded, FIREFLY_EMBEDDED=1 or database: "${EMBEDDED}"`,
    { refused: true },
  );
}

/** Whether the option or the environment names a database other than the embedded one. */
export function isConfigured({ database }: { database?: string | PostgresOptions | undefined }): boolean {
  const named = database ?? VARIABLES.map((name) => process.env[name]).find(Boolean);
  return named !== undefined && named !== EMBEDDED;
}

/** Whether a person can read what this process prints, and answer. */
function hasTerminal(): boolean {
  return Boolean(process.stdin.isTTY && (process.stdout.isTTY || process.stderr.isTTY));
}

/** What `FIREFLY_EMBEDDED` says; undefined if it is not set. */
function switchOf({ FIREFLY_EMBEDDED }: Environment): boolean | undefined {
  const text = FIREFLY_EMBEDDED?.trim().toLowerCase();
  if (!text) return undefined;
  if (["1", "true", "yes", "on"].includes(text)) return true;
  if (["0", "false", "no", "off"].includes(text)) return false;
  throw new TypeError(
    `Cannot use FIREFLY_EMBEDDED as it must be 1 or 0: current value is ${JSON.stringify(FIREFLY_EMBEDDED)}`,
  );
}

function signOfDeployment(environment: Environment): string | undefined {
  const stage = STAGES.find((name) => environment[name]?.toLowerCase().startsWith("prod"));
  if (stage) return `${stage}=${environment[stage]}`;
  return DEPLOYED.find((name) => environment[name] && !/^(0|false)$/i.test(environment[name]));
}

/** Names a variable that may have been meant: never its value, which may have a password. */
function suggestionIn(environment: Environment): string {
  const empty = VARIABLES.find((name) => environment[name] === "");
  const others = namesIn(environment).filter((name) =>
    !VARIABLES.includes(name) && !/^(FIREFLY_EMBEDDED|TEST_)/.test(name)
  );
  const isUrl = (name: string) => /^\s*postgres(ql)?:\/\//.test(environment[name] ?? "");
  for (const name of [...others.filter(isUrl), ...others]) {
    const meant = SYNONYMS.includes(name.toUpperCase()) ? "DATABASE_URL" : closestName(name, VARIABLES);
    if (meant) return ` (${name} is: did you mean ${meant}?)`;
    if (isUrl(name)) return ` (${name} has a database URL: did you mean DATABASE_URL?)`;
  }
  return empty ? ` (${empty} is empty)` : "";
}

function namesIn(environment: Environment): string[] {
  try {
    return Object.keys(environment).filter((name) => environment[name]);
  } catch {
    return []; // a runtime with permissions shows only some
  }
}

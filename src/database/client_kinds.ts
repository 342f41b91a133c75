/** A kind of client: how to recognize it, what to call it, and what to pass in its place. */
interface Kind {
  readonly name: string;
  /** Whether the client has the members of this kind. */
  readonly has: (client: Members) => boolean;
  readonly instead: string;
}

type Members = Readonly<Record<string, unknown>>;

const isFunction = (value: unknown) => typeof value === "function";
const adapter = (call: string) => `pass ${call} of @firefly/tasks/adapters`;

/** The clients that users have and that cannot be used as they are, each before those that it could be mistaken for. */
const KINDS: readonly Kind[] = [
  {
    name: "a Pool of pg, which has no transaction of its own",
    has: (client) => isFunction(client.query) && isFunction(client.connect) && "totalCount" in client,
    instead: `take a client with pool.connect(), begin a transaction on it, and ${adapter("fromPg(client)")}`,
  },
  {
    name: "a client of pg",
    has: (client) => isFunction(client.query) && isFunction(client.escapeIdentifier),
    instead: adapter("fromPg(client)"),
  },
  {
    name: "Drizzle",
    has: (client) => isFunction(client.execute) && isFunction(client.select) && !isFunction(client.query),
    instead: adapter("fromDrizzle(tx, sql)"),
  },
  {
    name: "Kysely",
    has: (client) => isFunction(client.executeQuery) && isFunction(client.selectFrom),
    instead: adapter("fromKysely(trx)"),
  },
  {
    name: "Knex",
    has: (client) => isFunction(client.raw) && isFunction(client.select),
    instead: adapter("fromKnex(trx)"),
  },
  {
    name: "MikroORM",
    has: (client) => isFunction(client.isInTransaction) && isFunction(client.transactional),
    instead: adapter("fromMikroORM(em)"),
  },
  {
    name: "a transaction of Sequelize",
    has: (client) => isFunction(client.commit) && isFunction(client.afterCommit),
    instead: adapter("fromSequelize(sequelize, transaction)"),
  },
  {
    name: "Prisma",
    has: (client) => isFunction(client.$queryRawUnsafe),
    instead: adapter("fromPrisma(tx)"),
  },
];

const POSTGRES_TX = "pass the tx of sql.begin(async (tx) => …)";
const TYPEORM_TX = "pass the manager of dataSource.transaction(async (manager) => …)";

/** The clients that have a method to query with, but no transaction. */
const OUTSIDE: readonly Kind[] = [
  {
    name: "Sequelize",
    has: (client) => isFunction(client.query) && isFunction(client.authenticate),
    instead: adapter("fromSequelize(sequelize, transaction)"),
  },
  {
    name: "a client of postgres.js",
    has: (client) => isFunction(client.unsafe) && isFunction(client.begin),
    instead: POSTGRES_TX,
  },
  {
    name: "a DataSource of TypeORM",
    has: (client) => isFunction(client.query) && isFunction(client.createQueryRunner),
    instead: TYPEORM_TX,
  },
  {
    name: "an EntityManager of TypeORM",
    has: (client) =>
      isFunction(client.query) && isFunction(client.getRepository) &&
      (client.queryRunner as Members | undefined)?.isTransactionActive !== true,
    instead: TYPEORM_TX,
  },
  {
    name: "a QueryRunner of TypeORM",
    has: (client) => isFunction(client.query) && client.isTransactionActive === false,
    instead: TYPEORM_TX,
  },
];

const ANY_WRAPPER = "pass { query: (text, params) => … }, which resolves to the rows of a statement with $1, $2, …";

/**
 * Checks that a client has a method to query with, which may still answer with something other than rows.
 *
 * @throws {TypeError} If it has none, or is known to have no transaction of its own.
 */
export function checkClient(client: unknown): void {
  if (!isMembers(client) || !isFunction(client.query) && !isFunction(client.unsafe)) throw refuseClient(client);
  const outside = OUTSIDE.find(({ has }) => has(client));
  if (!outside) return;
  throw new TypeError(
    `Cannot schedule through "tx" as it is ${outside.name} without a transaction: ${outside.instead}`,
  );
}

/** Makes the error for a client that cannot be used, or that gave another `answer` than a list of rows. */
export function refuseClient(client: unknown, answer?: { readonly value: unknown }): TypeError {
  const kind = kindOf(client);
  const reason = answer
    ? `its query() resolved to ${describe(answer.value)} and not to an array of rows`
    : `it is ${describe(client)} without a method query()`;
  const looks = kind ? `, it looks like ${kind.name}` : "";
  return new TypeError(`Cannot schedule through "tx" as ${reason}${looks}: ${kind?.instead ?? ANY_WRAPPER}`);
}

/** Describes what was given in place of a client, without showing what is in it: "an object that looks like Knex". */
export function describeClient(client: unknown): string {
  const kind = kindOf(client) ?? (isMembers(client) ? OUTSIDE.find(({ has }) => has(client)) : undefined);
  return describe(client) + (kind ? ` that looks like ${kind.name}` : "");
}

function isMembers(client: unknown): client is Members {
  return (typeof client === "object" || typeof client === "function") && client !== null;
}

function kindOf(client: unknown): Kind | undefined {
  return isMembers(client) ? KINDS.find(({ has }) => has(client)) : undefined;
}

/** Describes a value without showing what is in it. */
function describe(value: unknown): string {
  if (Array.isArray(value)) return "an array of other values";
  if (typeof value === "function") return "a function";
  if (typeof value !== "object" || value === null) return value == null ? String(value) : `a ${typeof value}`;
  if (Array.isArray((value as Members).rows)) return "an object with rows";
  return "an object";
}

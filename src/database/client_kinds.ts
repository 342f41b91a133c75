/** A kind of client that cannot be used as it is: how to recognize it, what to call it, and how to wrap it. */
interface Kind {
  readonly name: string;
  /** Whether the client has the members of this kind. */
  readonly has: (client: Members) => boolean;
  /** What to pass in its place. */
  readonly wrapper: string;
}

type Members = Readonly<Record<string, unknown>>;

const isFunction = (value: unknown) => typeof value === "function";
const PG = "{ query: async (text, params) => (await client.query(text, params)).rows }";

/** The clients that users have, each before those that it could be mistaken for. */
const KINDS: readonly Kind[] = [
  {
    name: "a Pool of pg, which has no transaction of its own",
    has: (client) => isFunction(client.query) && isFunction(client.connect) && "totalCount" in client,
    wrapper: `take a client with pool.connect(), begin a transaction on it, and pass ${PG}`,
  },
  {
    name: "a client of pg",
    has: (client) => isFunction(client.query) && isFunction(client.escapeIdentifier),
    wrapper: `pass ${PG}`,
  },
  {
    name: "Drizzle",
    has: (client) => isFunction(client.execute) && isFunction(client.select) && !isFunction(client.query),
    wrapper:
      "pass { query: async (text, params) => (await tx.execute(sql.join(text.split(/\\$\\d+/).flatMap((part, i) => " +
      "i > 0 ? [sql`${params[i - 1]}`, sql.raw(part)] : [sql.raw(part)])))).rows }, without .rows for postgres.js",
  },
  {
    name: "Kysely",
    has: (client) => isFunction(client.executeQuery) && isFunction(client.selectFrom),
    wrapper: "pass { query: async (text, params) => (await trx.executeQuery(CompiledQuery.raw(text, params))).rows }",
  },
  {
    name: "Knex",
    has: (client) => isFunction(client.raw) && isFunction(client.select),
    wrapper: 'pass { query: async (text, params) => (await trx.raw(text.replace(/\\$\\d+/g, "?"), params)).rows }',
  },
  {
    name: "Prisma",
    has: (client) => isFunction(client.$queryRawUnsafe),
    wrapper: "pass { query: (text, params) => tx.$queryRawUnsafe(text, ...params) }",
  },
];

const ANY_WRAPPER = "pass { query: (text, params) => … }, which resolves to the rows of a statement with $1, $2, …";

/** Whether a client has a method to query with, which may still answer with something other than rows. */
export function canQuery(client: unknown): boolean {
  if (typeof client !== "object" && typeof client !== "function" || client === null) return false;
  const { query, unsafe } = client as Members;
  return isFunction(query) || isFunction(unsafe);
}

/** Makes the error for a client that cannot be used, or that gave another `answer` than a list of rows. */
export function refuseClient(client: unknown, answer?: { readonly value: unknown }): TypeError {
  const isMembers = (typeof client === "object" || typeof client === "function") && client !== null;
  const kind = isMembers ? KINDS.find(({ has }) => has(client as Members)) : undefined;
  const reason = answer
    ? `its query() resolved to ${describe(answer.value)} and not to an array of rows`
    : `it is ${describe(client)} without a method query()`;
  const looks = kind ? `, it looks like ${kind.name}` : "";
  return new TypeError(`Cannot schedule through "tx" as ${reason}${looks}: ${kind?.wrapper ?? ANY_WRAPPER}`);
}

/** Describes a value without showing what is in it. */
function describe(value: unknown): string {
  if (Array.isArray(value)) return "an array of other values";
  if (typeof value === "function") return "a function";
  if (typeof value !== "object" || value === null) return value == null ? String(value) : `a ${typeof value}`;
  if (Array.isArray((value as Members).rows)) return "an object with rows";
  return "an object";
}

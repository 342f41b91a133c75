import { configure, consume, type Queryable, type Sql } from "@firefly/tasks";
import assert from "node:assert/strict";
import process from "node:process";
import postgres from "postgres";
import { check, library } from "../../check.ts";
import { CHECKS, hello, join, limited, once } from "./checks.ts";

export const url: string = process.env.FIREFLY_DATABASE_URL!;

/** An open transaction of a library. */
export interface Open {
  /** What `with({ tx })` is given. */
  readonly tx: Sql | Queryable;
  /** Inserts a row into the table `users`, in the library's own way. */
  insert(mail: string): PromiseLike<unknown>;
  /** Runs `body` in a savepoint, and rolls back to it if `body` throws. */
  savepoint(body: (open: Pick<Open, "tx">) => Promise<void>): PromiseLike<unknown>;
}

/** A library, and how to use it. */
export interface Library {
  /** The packages whose versions are reported. */
  readonly packages: readonly string[];
  /** The name of the example of docs/adapters.md. */
  readonly example?: string;
  /** Runs `body` in a transaction: it commits when `body` resolves, and rolls back when it throws. */
  transaction(body: (open: Open) => Promise<void>): PromiseLike<unknown>;
  /** Ways to get it wrong, with words of the error. */
  readonly misuses: Record<string, [make: () => Sql | Queryable | PromiseLike<Sql | Queryable>, words: RegExp]>;
  /** False if neither Firefly nor the library notices that a transaction has ended. @default true */
  readonly refusesEnded?: boolean;
  close(): PromiseLike<unknown>;
}

/** A library whose transactions are checked, and a connection of the checks' own. */
export interface Checked extends Pick<Library, "transaction"> {
  readonly sql: postgres.Sql;
  /** How many users and tasks have a mark as their mail, or among their tags. */
  count(mark: string): Promise<[users: number, tasks: number]>;
}

/** Checks a library: transactions, texts, misuse, and its example. */
export async function checkLibrary(
  { packages, example, transaction, misuses, refusesEnded = true, close }: Library,
): Promise<void> {
  for (const name of packages) library(name);
  const sql = postgres(url, { max: 1, onnotice() {} });
  await sql`CREATE TABLE public.users (id serial PRIMARY KEY, mail text NOT NULL)`;
  const ff = configure({});
  const consumer = consume({ pollInterval: "60s", tasks: [hello, join, limited, once] });
  await consumer.ready;
  const checked: Checked = { sql, transaction, count: (mark) => count(sql, mark) };

  for (const [name, run] of Object.entries(CHECKS)) await check(name, () => run(checked));
  for (const [name, [make, words]] of Object.entries(misuses)) {
    await check(`misuse: ${name}`, () => checkMisuse(checked, make, words));
  }
  if (refusesEnded) await check("a transaction that has ended is refused", () => checkEnded(checked));
  if (example !== undefined) await check("the example of docs/adapters.md", () => checkExample(checked, example));

  await consumer.stop();
  await ff.close();
  await close();
  await sql.end();
}

async function count(sql: postgres.Sql, mark: string): Promise<[number, number]> {
  const [row] = await sql`
    SELECT (SELECT count(*) FROM users WHERE mail = ${mark})::integer AS users,
      (SELECT count(*) FROM firefly.task WHERE ${mark} = ANY (tags))::integer AS tasks
  `;
  return [row!.users, row!.tasks];
}

/** Checks that scheduling through what `make` makes is refused with these words, before anything is inserted. */
async function checkMisuse(
  { count }: Checked,
  make: Library["misuses"][string][0],
  words: RegExp,
): Promise<void> {
  const schedule = async () => {
    await hello.with({ tx: await make(), tags: ["misuse"] }).schedule("misuse");
  };
  await assert.rejects(schedule, (error: Error) => {
    assert.equal(error.constructor, TypeError, error.stack);
    assert.match(error.message, words);
    return true;
  });
  assert.deepEqual(await count("misuse"), [0, 0]);
}

async function checkEnded({ transaction, count }: Checked): Promise<void> {
  for (const end of ["commit", "rollback"]) {
    let ended: Open["tx"] | undefined;
    const run = async () => {
      await transaction(async ({ tx }) => {
        await hello.with({ tx }).schedule("in time");
        ended = tx;
        if (end === "rollback") throw new Error(end);
      });
    };
    await run().catch((error) => assert.equal(error.message, "rollback"));
    await assert.rejects(
      async () => void await hello.with({ tx: ended!, tags: ["ended"] }).schedule("late"),
      Error,
      end,
    );
    assert.deepEqual(await count("ended"), [0, 0]);
  }
}

async function checkExample({ sql }: Checked, name: string): Promise<void> {
  await import(`../examples/${name}.ts`);
  const [row] = await sql`
    SELECT (SELECT count(*) FROM users WHERE mail = 'ada@example.org')::integer AS users,
      (SELECT count(*) FROM firefly.task WHERE func_name = 'mail.welcome')::integer AS tasks
  `;
  assert.deepEqual([row!.users, row!.tasks], [1, 1]);
}

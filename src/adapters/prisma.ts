import type { Queryable } from "../sql.ts";
import { hasMethods, refuseArgument } from "./refusal.ts";

/** The part of the client of an interactive transaction of [Prisma](https://www.prisma.io) that Firefly needs. */
export interface PrismaTransaction {
  /** Runs a statement, and resolves to its rows. */
  $queryRawUnsafe(query: string, ...values: unknown[]): PromiseLike<unknown>;
  /** Only a `PrismaClient` has it. */
  readonly $connect?: never;
}

/**
 * Adapts the client of an interactive transaction of Prisma. Prisma rolls such a transaction back after 5 s, unless
 * its option `timeout` says otherwise.
 *
 * @example
 * ```ts ignore
 * await prisma.$transaction(async (tx) => {
 *   await welcome.with({ tx: fromPrisma(tx) }).schedule("a@b.c");
 * });
 * ```
 *
 * @throws {TypeError} If it is given a `PrismaClient` and not a transaction, or anything else.
 */
export function fromPrisma(tx: PrismaTransaction): Queryable {
  const isClient = hasMethods(tx, "$queryRawUnsafe", "$connect");
  if (isClient || !hasMethods(tx, "$queryRawUnsafe")) {
    throw refuseArgument(tx, {
      adapter: "fromPrisma",
      ...(isClient ? { given: "a PrismaClient and not a transaction" } : {}),
      instead: "the tx of prisma.$transaction(async (tx) => …)",
    });
  }
  return { query: async (text, params) => await tx.$queryRawUnsafe(text, ...params) as unknown[] };
}

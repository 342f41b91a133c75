/**
 * The part of a postgres.js client that Firefly needs: a tag for statements. `Sql`, `TransactionSql` and `ReservedSql`
 * of the `postgres` package implement it.
 */
export interface Sql {
  /** Runs a statement. Interpolated values are sent as parameters, never as text. */
  // deno-lint-ignore no-explicit-any
  <T = any>(strings: TemplateStringsArray, ...values: any[]): Promise<T[]>;
  /** Runs a statement given as text, with `$1`, `$2`, … for the parameters. */
  // deno-lint-ignore no-explicit-any
  unsafe<T = any>(text: string, params?: unknown[]): Promise<T[]>;
}

/** The part of other clients that Firefly needs; `@firefly/tasks/adapters` makes it of the transactions of many libraries. */
export interface Queryable {
  /** Runs a statement with `$1`, `$2`, … for the parameters, and resolves to its rows. */
  query(text: string, params: unknown[]): Promise<unknown[]>;
}

/** Makes a tag that resolves its client when it runs a statement. */
export function lazySql(resolve: () => Promise<Sql>): Sql {
  async function sql<T>(strings: TemplateStringsArray, ...values: unknown[]): Promise<T[]> {
    return await (await resolve())<T>(strings, ...values);
  }
  async function unsafe<T>(text: string, params?: unknown[]): Promise<T[]> {
    return await (await resolve()).unsafe<T>(text, params);
  }
  return Object.assign(sql, { unsafe });
}

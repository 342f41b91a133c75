// As the types of @std/cli/parse-args, for the options that we use and flags whose names hold no dot.

type BooleanType = boolean | string | undefined;
type StringType = string | undefined;
type Aliases<TName extends string = string> = Partial<Record<string, TName | readonly TName[]>>;

/** One object type in place of an intersection, so that a flag by a computed name has the types of all flags at once. */
type Flat<T> = T extends Record<string, unknown> ? T extends infer R ? { [K in keyof R]: Flat<R[K]> } : never : T;

/** Flags `K` of type `V`: those in `C` are lists, and always there. */
type Typed<K, V, C> =
  & Required<{ [N in Extract<K, C> & string]?: V[] }>
  & { [N in Exclude<K, C> & string]?: V };

/** Booleans and lists are always there; strings are not. */
type Flags<B, S, C> =
  & Typed<S, string, C>
  & Required<Typed<B, boolean, C>>
  & { [N in Exclude<Extract<C, string>, B | S>]: unknown[] };

/** Flag `K` and its aliases. */
type Names<K, A> = K extends keyof A ? string extends A[K] ? K
  : A[K] extends string ? K | A[K]
  : A[K] extends string[] ? K | A[K][number]
  : K
  : K;

/** Flags `F` under all their names. */
type Named<F, A> = { [K in keyof F as Names<K, A>]: F[K] };

/** The flags, typed as soon as any is declared. */
type Values<B, S, C, A> = undefined extends (false extends B ? undefined : B) & C & S
  // deno-lint-ignore no-explicit-any
  ? Record<string, any>
  : Record<string, unknown> & Named<Flags<B, S, C>, A>;

/** What {@linkcode parseArgs} returns. */
export type Args<
  // deno-lint-ignore no-explicit-any
  TArgs extends Record<string, unknown> = Record<string, any>,
> = Flat<
  & TArgs
  & {
    /** The arguments that belong to no flag. */
    _: Array<string | number>;
  }
>;

/** Options of {@linkcode parseArgs}. */
export interface ParseOptions<
  TBooleans extends BooleanType = BooleanType,
  TStrings extends StringType = StringType,
  TCollectable extends StringType = StringType,
  TAliases extends Aliases | undefined = Aliases | undefined,
> {
  /** Other names of flags. */
  alias?: TAliases;
  /** Flags that are booleans; `true` for all that begin with two hyphens. */
  boolean?: TBooleans | ReadonlyArray<Extract<TBooleans, string>>;
  /** Whether everything after the first argument that belongs to no flag goes into `_` as it is. */
  stopEarly?: boolean;
  /** Flags that are strings. */
  string?: TStrings | ReadonlyArray<Extract<TStrings, string>>;
  /** Flags that may be repeated. */
  collect?: TCollectable | ReadonlyArray<Extract<TCollectable, string>>;
  /** Called with each argument that no option names; `false` leaves it out. */
  unknown?: (arg: string, key?: string, value?: unknown) => unknown;
}

/** Parses command line arguments into flags, with the rest in `_`. */
export function parseArgs<
  TBooleans extends BooleanType = undefined,
  TStrings extends StringType = undefined,
  TCollectable extends StringType = undefined,
  TAliases extends Aliases<TAliasNames> | undefined = undefined,
  TAliasNames extends string = string,
>(
  args: readonly string[],
  options?: ParseOptions<TBooleans, TStrings, TCollectable, TAliases>,
): Args<Values<TBooleans, TStrings, TCollectable, TAliases>>;

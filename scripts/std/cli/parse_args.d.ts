// As the types of @std/cli/parse-args, for flags whose names hold no dot.

type BooleanType = boolean | string | undefined;
type StringType = string | undefined;
type Defaults = Record<string, unknown> | undefined;
type Aliases<TName extends string = string> =
  | Partial<Record<string, TName | readonly TName[]>>
  | undefined;

/** The value of flag `K`, were it given. */
type Given<K, B, S, C, N> =
  | (K extends C ? (K extends S ? string : K extends B ? boolean : unknown)[]
    : K extends S ? string
    : K extends B ? boolean
    : never)
  | (K extends N ? false : never);

/** The value of flag `K`, given or by default. */
type Value<K, B, S, C, N, D> = K extends keyof D ? K extends B | S | C ? D[K] | Given<K, B, S, C, N> : unknown
  : Given<K, B, S, C, N>;

/** Flag `K` and its aliases. */
type Names<K, A> = K extends keyof A ? A[K] extends string ? K | A[K]
  : A[K] extends string[] ? K | A[K][number]
  : K
  : K;

/** Booleans, lists and flags with a default are always there; strings are not. */
type Flags<B, S, C, N, D, A> =
  & {
    [K in Extract<B | C, string> | keyof D as Names<K, A>]: Value<
      K,
      B,
      S,
      C,
      N,
      D
    >;
  }
  & {
    [K in Exclude<Extract<S, string>, C | keyof D> as Names<K, A>]?: Value<
      K,
      B,
      S,
      C,
      N,
      D
    >;
  };

/** The flags, typed as soon as any is declared. */
type Values<B, S, C, N, D, A> = [B, S, C] extends [false | undefined, undefined, undefined]
  // deno-lint-ignore no-explicit-any
  ? Record<string, any>
  : Record<string, unknown> & Flags<B, S, C, N, D, A>;

interface DoubleDash {
  /** The arguments after `--`. */
  "--"?: string[];
}

/** What {@linkcode parseArgs} returns. */
export type Args<
  // deno-lint-ignore no-explicit-any
  TArgs extends Record<string, unknown> = Record<string, any>,
  TDoubleDash extends boolean | undefined = undefined,
> =
  & TArgs
  & {
    /** The arguments that belong to no flag. */
    _: Array<string | number>;
  }
  & (boolean extends TDoubleDash ? DoubleDash
    : true extends TDoubleDash ? Required<DoubleDash>
    : Record<never, never>);

/** Options of {@linkcode parseArgs}. */
export interface ParseOptions<
  TBooleans extends BooleanType = BooleanType,
  TStrings extends StringType = StringType,
  TCollectable extends StringType = StringType,
  TNegatable extends StringType = StringType,
  TDefault extends Defaults = Defaults,
  TAliases extends Aliases = Aliases,
  TDoubleDash extends boolean | undefined = boolean | undefined,
> {
  /** Whether what follows `--` goes into `--` instead of `_`. */
  "--"?: TDoubleDash;
  /** Other names of flags. */
  alias?: TAliases;
  /** Flags that are booleans; `true` for all that begin with two hyphens. */
  boolean?: TBooleans | ReadonlyArray<Extract<TBooleans, string>>;
  /** Values of flags that are not given. */
  default?: TDefault;
  /** Whether everything after the first non-flag goes into `_`. */
  stopEarly?: boolean;
  /** Flags that are strings. */
  string?: TStrings | ReadonlyArray<Extract<TStrings, string>>;
  /** Flags that may be repeated. */
  collect?: TCollectable | ReadonlyArray<Extract<TCollectable, string>>;
  /** Flags that `--no-` turns off. */
  negatable?: TNegatable | ReadonlyArray<Extract<TNegatable, string>>;
  /** Called with each argument that no option names; `false` leaves it out. */
  unknown?: (arg: string, key?: string, value?: unknown) => unknown;
}

/** Parses command line arguments into flags, with the rest in `_`. */
export function parseArgs<
  TDoubleDash extends boolean | undefined = undefined,
  TBooleans extends BooleanType = undefined,
  TStrings extends StringType = undefined,
  TCollectable extends StringType = undefined,
  TNegatable extends StringType = undefined,
  TDefaults extends Defaults = undefined,
  TAliases extends Aliases<TAliasNames> = undefined,
  TAliasNames extends string = string,
>(
  args: readonly string[],
  options?: ParseOptions<
    TBooleans,
    TStrings,
    TCollectable,
    TNegatable,
    TDefaults,
    TAliases,
    TDoubleDash
  >,
): Args<
  Values<TBooleans, TStrings, TCollectable, TNegatable, TDefaults, TAliases>,
  TDoubleDash
>;

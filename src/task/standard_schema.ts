/**
 * A schema of zod, valibot, arktype or another library that implements Standard Schema, version 1
 * (https://standardschema.dev). `Output` is the type of a validated value.
 */
export interface StandardSchemaV1<Input = unknown, Output = Input> {
  /** The properties that Standard Schema defines. */
  readonly "~standard": {
    /** The version of Standard Schema. */
    readonly version: 1;
    /** The name of the library. */
    readonly vendor: string;
    /** Validates a value. Returns the validated `value`, or the `issues` that were found. */
    readonly validate: (value: unknown) => SchemaResult<Output> | Promise<SchemaResult<Output>>;
    /** The types of the value before and after validation, for the compiler only. */
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
  };
}

/** The result of validating a value. */
export type SchemaResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly SchemaIssue[] };

/** One reason why a value is not valid. */
export interface SchemaIssue {
  /** The reason. */
  readonly message: string;
  /** The keys that lead to the invalid part, from the outside in. */
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

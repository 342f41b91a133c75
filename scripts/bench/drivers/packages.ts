import { createRequire } from "node:module";
import { join } from "node:path";

/** Loads a package that was installed for the benchmark alone. What it exports is typed by who uses it. */
export function load<T>(packages: string, name: string): T {
  return createRequire(join(packages, "package.json"))(name) as T;
}

/** Of `pg`, what is used. */
export interface Pg {
  Pool: new (options: { connectionString: string; max: number }) => Pool;
}

/** A pool of `pg`. */
export interface Pool {
  query(text: string): Promise<{ rows: Record<string, string>[] }>;
  end(): Promise<void>;
}

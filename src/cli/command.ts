import type { Arguments, Flags } from "./arguments.ts";
import type { Terminal } from "./terminal.ts";

/** One command of the program. */
export interface Command {
  readonly name: string;
  /** What it takes beside flags, as the help shows it. */
  readonly usage: string;
  /** How many of those there may be at least and at most. */
  readonly positionals: readonly [least: number, most: number];
  /** One line for the list of commands. */
  readonly summary: string;
  /** Paragraphs for the help of the command itself. */
  readonly details?: string;
  /** Flags beside {@linkcode GLOBAL_FLAGS}. */
  readonly flags: Flags;
  /** Command lines to learn from. */
  readonly examples: readonly string[];
  /** Runs it; resolves to the exit code. */
  run(args: Arguments, terminal: Terminal): Promise<number>;
}

/** Flags that every command takes. */
export const GLOBAL_FLAGS: Flags = {
  database: {
    value: "url",
    description:
      "The database. Else the configuration's, FIREFLY_DATABASE_URL, DATABASE_URL, PGHOST and its friends, " +
      "else the embedded server",
  },
  "listen-database": {
    value: "url",
    description: "A direct URL for LISTEN where the database is reached through a transaction pooler",
  },
  schema: { value: "name", description: 'The schema of the tables, "firefly" unless configured' },
  config: { value: "file", description: "The configuration, instead of firefly.config.ts in this directory" },
  import: { value: "module", list: "repeat", description: "A module that defines tasks, beside those that are found" },
  json: { description: "Print JSON, one value a line; the default where stdout is no terminal" },
  quiet: { description: "Tell only of warnings and errors" },
  verbose: { description: "Tell of everything, with the stacks of errors" },
  help: { description: "Show this help" },
  version: { description: "Show the version" },
};

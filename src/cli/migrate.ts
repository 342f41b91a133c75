import { findDatabase } from "../firefly/connect.ts";
import { Database } from "../database/pools.ts";
import { MIGRATIONS } from "../schema/migrations.ts";
import { type MigrationState, migrationStates, pendingText } from "../schema/migrator.ts";
import { makeRoles, rolesText } from "../schema/roles.ts";
import { DEFAULT_SCHEMA, type FireflyOptions } from "../firefly/options.ts";
import type { Command } from "./command.ts";
import { EXIT } from "./exit_code.ts";
import { readSettings, withInstanceOf } from "./settings.ts";
import { printTable } from "./table.ts";
import type { Terminal } from "./terminal.ts";
import { formatAge, formatTime } from "../times.ts";

/** `migrate`: creates the schema or updates it to this release. */
export const migrate: Command = {
  name: "migrate",
  usage: "",
  positionals: [0, 0],
  summary: "Create the schema, or update it to this release",
  details:
    "Run it once per release, before new consumers start; consumers of the previous release keep working. Any number " +
    "of processes may run it at once. The embedded server migrates automatically on first use.\n\n" +
    "--roles also creates the roles <schema>_producer, <schema>_consumer and <schema>_viewer, grants them the privileges " +
    "that they need, and revokes those of PUBLIC in the schema. Every later migrate keeps their grants up to date.",
  flags: {
    status: { description: "Show which migrations were applied" },
    roles: { description: "Also create the roles for producers, consumers and viewers, and grant their privileges" },
    "dry-run": { description: "Print the SQL of the missing migrations without applying them" },
  },
  examples: ["migrate", "migrate --status", "migrate --dry-run > pending.sql", "migrate --roles"],
  async run(args, terminal) {
    const { options } = await readSettings({ args, terminal, tasks: "none" });
    const schema = options.schema ?? DEFAULT_SCHEMA;
    if (args.isOn("dry-run")) {
      const states = await readStates(options);
      const isMissing = states.some(({ applied }) => !applied);
      if (isMissing) await terminal.print(pendingText(states, schema));
      if (args.isOn("roles")) await terminal.print(rolesText(schema));
      else if (!isMissing) terminal.note("Nothing is missing");
      return EXIT.done;
    }
    if (args.isOn("status")) {
      await printStates(await readStates(options), terminal);
      return EXIT.done;
    }
    const done = await withInstanceOf(options, (ff) => ff.migrate());
    for (const state of done) {
      if (terminal.json) await terminal.printJson(state);
      else await terminal.print(`Applied ${state.version} ${state.name}`);
    }
    if (done.length === 0) {
      const applied = (await readStates(options)).filter(({ applied }) => applied).length;
      const newer = applied - MIGRATIONS.length;
      const more = newer > 0 ? `, ${newer} of them by a newer release` : "";
      terminal.note(`Schema "${schema}" is up to date: ${applied} migrations applied${more}`);
    }
    if (args.isOn("roles")) await printRoles(options, terminal);
    return EXIT.done;
  },
};

async function printRoles(
  { database, schema = DEFAULT_SCHEMA, onProgress }: FireflyOptions,
  terminal: Terminal,
): Promise<void> {
  const roles = await makeRoles(await findDatabase({ database, onProgress }), schema, onProgress);
  for (const role of roles) {
    if (terminal.json) await terminal.printJson({ role });
    else await terminal.print(`Granted to ${role}`);
  }
}

/** Reads the migrations without an instance, as connecting to the embedded server would migrate it. */
async function readStates(
  { database, schema = DEFAULT_SCHEMA, onProgress }: FireflyOptions,
): Promise<MigrationState[]> {
  const opened = new Database(await findDatabase({ database, onProgress }), schema);
  try {
    return await migrationStates(opened.sql);
  } finally {
    await opened.end();
  }
}

async function printStates(states: MigrationState[], terminal: Terminal): Promise<void> {
  if (terminal.json) {
    for (const state of states) await terminal.printJson(state);
    return;
  }
  const rows = states.map(({ version, name, applied }) => [
    String(version),
    name,
    applied ? `${formatTime(applied)}, ${formatAge(applied)}` : { text: "missing", style: "yellow" as const },
  ]);
  await printTable(terminal, { header: ["version", "name", "applied"], rows, right: [0] });
}

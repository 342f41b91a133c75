// Runs on: Deno
// Within: 120 s
// Needs: FIREFLY_EVERYWHERE_FRESH
//
// Fresh is on JSR alone: FIREFLY_EVERYWHERE_FRESH says which one to run, as "jsr:@fresh/core@^2.3.3", on a machine that
// reaches JSR, or whose JSR_URL is that of a registry with Fresh. fresh_handlers.ts runs everywhere.
import { readFile, writeFile } from "node:fs/promises";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { checkLife } from "./support/life.ts";
import { EXAMPLES } from "./support/server.ts";

const fresh = process.env.FIREFLY_EVERYWHERE_FRESH!;
const [, library, version] = /^jsr:(.+)@(.+)$/.exec(fresh)!;
process.stdout.write(JSON.stringify({ library, version }) + "\n");

const root = fileURLToPath(new URL("../", import.meta.url));
const config = `${root}deno.fresh.json`;
const project = JSON.parse(await readFile(`${root}deno.json`, "utf8"));
project.imports.fresh = fresh;
await writeFile(config, JSON.stringify(project));
const served = `${EXAMPLES}fresh/server.ts`; // as Fresh's builder writes it
await writeFile(served, `import { app } from "./main.ts";\n\nexport default { fetch: app.handler() };\n`);

const run = [process.execPath, "run", "-A", "--config", config, `${EXAMPLES}fresh/main.ts`];
const serve = [process.execPath, "serve", "-A", "--config", config, "--port", "0", served];
await checkLife({ command: run, malformed: 422 });
await checkLife({ command: serve, malformed: 422, label: "deno serve: " });

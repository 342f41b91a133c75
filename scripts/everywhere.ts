import { parseArgs } from "@std/cli/parse-args";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { testDatabase } from "../tests/support/database.ts";
import { HAS_REDIS, testRedis } from "../tests/support/redis.ts";
import { listAreas, listPrograms, manifestOf, type Program } from "./everywhere/programs.ts";
import { makeProject } from "./everywhere/project.ts";
import { type Outcome, runProgram } from "./everywhere/run.ts";
import { bringRuntimes, type Runtime, type Runtimes } from "./everywhere/runtimes.ts";
import { markdownTable } from "./markdown_table.ts";
import { buildPackage, pack } from "./npm.ts";
import { cacheDirectory } from "./npm/install.ts";

const HELP =
  `Runs the programs of tests/everywhere on Deno, Node 22, Node 24 and Bun, with the npm package as it would be
published and the libraries that it works with, and prints a table of the results.

Usage: deno task everywhere [--only AREA[/PROGRAM],…] [--runtime NAME,…] [--short] [--jobs N] [--keep] [--clean]

  --only      the areas, or programs of them, to run
  --runtime   the runtimes to run on: deno, node22, node24, bun
  --short     each program on one runtime, in turn, and none of the long ones
  --jobs      how many programs run at a time (2)
  --keep      leave the projects where they are, and print where
  --clean     install the runtimes and the libraries anew

Each program has a database of its own: on the server of TEST_DATABASE_URL, else on an embedded one. Programs that need
Redis share that of REDIS_URL, else one that this starts. What it installs is in FIREFLY_CACHE, else in firefly_everywhere in the user's cache directory.

It exits with 1 if a program failed, or none ran.`;

interface Options {
  only: string[];
  runtimes: string[];
  isShort: boolean;
  jobs: number;
  keep: boolean;
  clean: boolean;
}

/** A program, where to run it. */
interface Step {
  readonly program: Program;
  readonly runtime: Runtime;
  readonly directory: string;
}

/** The programs that were asked for. */
async function choosePrograms(only: readonly string[]): Promise<Program[]> {
  const programs = (await Promise.all((await listAreas()).map(listPrograms))).flat();
  const matches = ({ area, name }: Program, wanted: string) => wanted === area || wanted === `${area}/${name}`;
  for (const wanted of only) {
    if (programs.some((program) => matches(program, wanted))) continue;
    throw new Error(`Cannot run ${wanted} as there is no such area or program: ${(await listAreas()).join(", ")}`);
  }
  return programs.filter((program) => only.length === 0 || only.some((wanted) => matches(program, wanted)));
}

/** The runtimes for each program; a short run takes one after another. */
function chooseRuntimes(
  programs: readonly Program[],
  { all }: Runtimes,
  { runtimes, isShort }: Options,
): [Program, Runtime][] {
  let turn = 0;
  return programs.filter(({ isLong }) => !isShort || !isLong).flatMap((program) => {
    const able = all.filter(({ name }) => program.runtimes?.includes(name) ?? true)
      .filter(({ name }) => runtimes.length === 0 || runtimes.includes(name.toLowerCase().replace(" ", "")));
    const chosen = isShort && able.length > 0 ? [able[turn++ % able.length]!] : able;
    return chosen.map((runtime): [Program, Runtime] => [program, runtime]);
  });
}

/** Makes the projects, one for each `package.json`. Returns their directories by area. */
async function makeProjects(areas: readonly string[], directory: string): Promise<Map<string, string>> {
  const built = join(directory, "package");
  await Deno.mkdir(built);
  await buildPackage(built);
  const workshop = { directory, built, tarball: await pack(built, directory) };
  const projects = new Map<string, string>();
  const byManifest = Map.groupBy(
    await Promise.all(areas.map(async (area) => ({ area, manifest: await manifestOf(area) }))),
    ({ manifest }) => manifest,
  );
  for (const [manifest, members] of byManifest) {
    const name = members.length === 1 ? members[0]!.area : "project";
    const project = await makeProject(name, { workshop, manifest, areas: members.map(({ area }) => area) });
    for (const { area } of members) projects.set(area, project);
  }
  return projects;
}

async function runStep(
  { program, runtime, directory }: Step,
  { runtimes, services }: Pick<Runs, "runtimes" | "services">,
): Promise<Outcome> {
  await using database = await testDatabase();
  const env = {
    ...services,
    FIREFLY_DATABASE_URL: database.url,
    FIREFLY_EVERYWHERE_ROOT: fileURLToPath(new URL("../", import.meta.url)),
    FIREFLY_EVERYWHERE_RUNTIMES: runtimes.directory,
    NO_COLOR: "1",
    PATH: runtimes.pathFor(runtime),
  };
  return await runProgram(program, { runtime, directory, env });
}

/** How steps run. */
interface Runs {
  /** How many at a time. */
  readonly jobs: number;
  readonly runtimes: Runtimes;
  /** The URLs of servers that this has started, by variable. */
  readonly services: Readonly<Record<string, string>>;
}

/** Runs steps, some at a time, and reports each as it ends. */
async function runSteps(steps: readonly Step[], { jobs, ...runs }: Runs): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  const queue = steps.entries();
  await Promise.all(Array.from({ length: jobs }, async () => {
    for (const [index, step] of queue) {
      const outcome = outcomes[index] = await runStep(step, runs);
      const { program: { area, name }, runtime, failure, seconds, output } = outcome;
      const result = failure === undefined ? "ok  " : "FAIL";
      console.error(
        `${result} ${area}/${name} on ${runtime.name}, ${seconds.toFixed(1)} s${failure ? `: ${failure}` : ""}`,
      );
      if (failure !== undefined) console.error(output.replace(/^/gm, "  | "));
    }
  }));
  return outcomes;
}

function render(outcomes: readonly Outcome[]): string {
  const rows = outcomes.map(({ program, libraries, runtime, checks, failure, seconds }) => [
    `${program.area}/${program.name}`,
    libraries.join(", "),
    `${runtime.name.replace(/ \d+$/, "")} ${runtime.version}`,
    `${[...checks.values()].filter(Boolean).length} of ${checks.size}${failure === undefined ? "" : " FAILED"}`,
    seconds.toFixed(1),
  ]);
  return markdownTable(["Program", "Libraries", "Runtime", "Checks", "Seconds"], rows).join("\n");
}

async function main(options: Options): Promise<number> {
  const started = performance.now();
  const cache = cacheDirectory();
  if (options.clean) await Deno.remove(cache, { recursive: true }).catch(() => {});
  const programs = await choosePrograms(options.only);
  const runtimes = await bringRuntimes(cache);
  const chosen = chooseRuntimes(programs, runtimes, options);
  const absent = new Set<string>();
  const services: Record<string, string> = {};
  await using servers = new AsyncDisposableStack();
  if (HAS_REDIS && !Deno.env.has("REDIS_URL") && chosen.some(([{ needs }]) => needs.includes("REDIS_URL"))) {
    services.REDIS_URL = servers.use(await testRedis()).url;
  }
  const able = chosen.filter(([{ needs }]) => {
    const missing = needs.filter((name) => !(name in services || Deno.env.has(name)));
    for (const name of missing) absent.add(name);
    return missing.length === 0;
  });
  if (absent.size > 0) {
    console.error(`Left out ${chosen.length - able.length} runs that need ${[...absent].join(", ")}`);
  }
  const directory = await Deno.makeTempDir({ prefix: "firefly_everywhere_" });
  try {
    const projects = await makeProjects([...new Set(able.map(([{ area }]) => area))], directory);
    console.error(`Made the package and ${new Set(projects.values()).size} projects in ${seconds(started)} s`);
    const steps = able.map(([program, runtime]) => ({ program, runtime, directory: projects.get(program.area)! }));
    const outcomes = await runSteps(steps, { jobs: options.jobs, runtimes, services });
    console.log(render(outcomes));
    const failed = outcomes.filter(({ failure }) => failure !== undefined).length;
    console.error(`${outcomes.length - failed} of ${outcomes.length} passed, in ${seconds(started)} s`);
    return failed === 0 && outcomes.length > 0 ? 0 : 1;
  } finally {
    if (options.keep) console.error(`Left the projects in ${directory}`);
    else await Deno.remove(directory, { recursive: true });
  }
}

function seconds(started: number): string {
  return ((performance.now() - started) / 1000).toFixed(1);
}

if (import.meta.main) {
  const args = parseArgs(Deno.args, {
    boolean: ["help", "short", "keep", "clean"],
    string: ["only", "runtime", "jobs"],
    unknown: (name) => {
      console.error(`Cannot run with ${name}: see --help`);
      Deno.exit(2);
    },
  });
  if (args.help) console.log(HELP);
  else {
    Deno.exitCode = await main({
      only: args.only?.split(",") ?? [],
      runtimes: args.runtime?.split(",") ?? [],
      isShort: args.short,
      jobs: Number(args.jobs ?? 2),
      keep: args.keep,
      clean: args.clean,
    });
  }
}

import { join } from "node:path";
import { fileURLToPath } from "node:url";

const PROGRAMS = fileURLToPath(new URL("../../tests/everywhere", import.meta.url));

/** A program of an area. What its head says in lines `// Runs on: Node 22, Bun`, `// Within: 90 s`, `// Needs: REDIS_URL` and `// Long`. */
export interface Program {
  readonly area: string;
  readonly name: string;
  /** The runtimes; all of them if it names none. */
  readonly runtimes?: readonly string[];
  /** How long it may take, in milliseconds. */
  readonly timeout: number;
  /** Variables of the environment without which it is left out. */
  readonly needs: readonly string[];
  /** Whether a short run leaves it out. */
  readonly isLong: boolean;
}

const TIMEOUT = 60_000; // milliseconds

/** The areas, sorted. */
export async function listAreas(): Promise<string[]> {
  const areas = [];
  for await (const { name, isDirectory } of Deno.readDir(PROGRAMS)) if (isDirectory) areas.push(name);
  return areas.sort();
}

/** The programs of an area, sorted: the modules directly in its folder. Other folders hold what programs share. */
export async function listPrograms(area: string): Promise<Program[]> {
  const programs = [];
  for await (const { name, isFile } of Deno.readDir(join(PROGRAMS, area))) {
    if (!isFile || !name.endsWith(".ts")) continue;
    programs.push(readHead(await Deno.readTextFile(join(PROGRAMS, area, name)), area, name.slice(0, -3)));
  }
  return programs.sort((a, b) => a.name < b.name ? -1 : 1);
}

/** The `package.json` of the area's project: its own, or the one that most areas share. */
export async function manifestOf(area: string): Promise<string> {
  const own = join(PROGRAMS, area, "package.json");
  return await Deno.stat(own).then(() => own, () => join(PROGRAMS, "package.json"));
}

function readHead(code: string, area: string, name: string): Program {
  const read = (key: string) => new RegExp(`^// ${key}: (.*)$`, "m").exec(code)?.[1]?.split(", ");
  const runtimes = read("Runs on");
  const [seconds] = read("Within") ?? [];
  return {
    area,
    name,
    ...runtimes && { runtimes },
    timeout: seconds === undefined ? TIMEOUT : parseFloat(seconds) * 1000,
    needs: read("Needs") ?? [],
    isLong: /^\/\/ Long$/m.test(code),
  };
}

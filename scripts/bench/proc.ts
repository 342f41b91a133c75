/** Milliseconds of a tick of /proc: USER_HZ is 100 wherever Linux runs. */
const TICK = 10;

interface Stat {
  readonly name: string;
  readonly parent: number;
  /** Milliseconds of CPU. */
  readonly own: number;
  /** The same of its children that have ended. */
  readonly children: number;
}

function readStat(pid: number): Stat | undefined {
  const text = readText(`/proc/${pid}/stat`);
  if (text === undefined) return undefined;
  const end = text.lastIndexOf(")");
  const fields = text.slice(end + 2).split(" ").map(Number);
  return {
    name: text.slice(text.indexOf("(") + 1, end),
    parent: fields[1]!,
    own: (fields[11]! + fields[12]!) * TICK,
    children: (fields[13]! + fields[14]!) * TICK,
  };
}

/** The process whose child a backend of a server on this machine is; undefined if there is none. */
export function findPostmaster(backend: number): number | undefined {
  const stat = readStat(backend);
  return stat?.name === "postgres" ? stat.parent : undefined;
}

/** Milliseconds of CPU that a process has used; NaN where there is no /proc. */
export function cpuOf(pid: number): number {
  return readStat(pid)?.own ?? NaN;
}

/** The same with its children that have ended. */
export function cpuWithEnded(pid: number): number {
  const stat = readStat(pid);
  return stat ? stat.own + stat.children : NaN;
}

/** The same of a process whose children have one thread each, with these, alive and ended. */
export function cpuOfFamily(pid: number): number {
  let total = NaN;
  for (let tries = 0; tries < 5; tries++) {
    const before = readStat(pid);
    total = before ? before.own + before.children + cpuOfChildren(pid) : NaN;
    // A child that ended meanwhile may be missing, or counted twice.
    if (before?.children === readStat(pid)?.children) break;
  }
  return total;
}

function cpuOfChildren(pid: number): number {
  let total = 0;
  for (const { name } of Deno.readDirSync("/proc")) {
    const child = /^\d+$/.test(name) ? readStat(Number(name)) : undefined;
    if (child?.parent === pid) total += runTimeOf(Number(name)) ?? child.own;
  }
  return total;
}

/** The same of a process with one thread, more exactly than in ticks; undefined if the kernel does not count it. */
function runTimeOf(pid: number): number | undefined {
  const text = readText(`/proc/${pid}/schedstat`);
  return text === undefined ? undefined : Number(text.split(" ")[0]) / 1e6;
}

/** The memory of a process in MB: what it has, and the most it ever had. NaN where there is no /proc. */
export function memoryOf(pid: number): { now: number; most: number } {
  const text = readText(`/proc/${pid}/status`) ?? "";
  const read = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(text)?.[1] ?? NaN) * 1024 / 1e6;
  return { now: read("VmRSS"), most: read("VmHWM") };
}

/** Milliseconds that all cores were busy, and that the hypervisor had them. NaN where there is no /proc. */
export function cpuOfMachine(): { busy: number; stolen: number } {
  const [line = ""] = (readText("/proc/stat") ?? "").split("\n");
  const [user, nice, system, , , irq, softirq, steal] = line.split(/\s+/).slice(1).map((ticks) => Number(ticks) * TICK);
  return { busy: user! + nice! + system! + irq! + softirq!, stolen: steal! };
}

function readText(path: string): string | undefined {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return undefined; // it has ended, or there is no /proc
  }
}

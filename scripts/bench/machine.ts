import { arch, cpus, release, totalmem } from "node:os";
import { runCommand } from "./run_command.ts";

/** What the benchmark ran on: names and what each is. What the system does not tell is left out. */
export async function describeMachine(directory: string): Promise<(readonly [string, string])[]> {
  const all = cpus();
  const distribution = await Deno.readTextFile("/etc/os-release").catch(() => "");
  const [, name = Deno.build.os] = /^PRETTY_NAME="?(.*?)"?$/m.exec(distribution) ?? [];
  const disk = await describeDisk(directory);
  return [
    ["Processor", `${all[0]?.model.trim() ?? "unknown"}, ${all.length} cores`],
    ["Memory", `${Math.round(totalmem() / 2 ** 30)} GiB`],
    ...disk ? [["Disk", disk] as const] : [],
    ["System", `${name}, kernel ${release()}, ${arch()}`],
  ];
}

/** The device and the file system of a directory. */
async function describeDisk(directory: string): Promise<string | undefined> {
  const text = await runCommand("df", ["--output=source,fstype", directory]).catch(() => "");
  const [source, type] = text.split("\n").at(1)?.trim().split(/\s+/) ?? [];
  return source && type ? `${source}, ${type}` : undefined;
}

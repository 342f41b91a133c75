import { deadline } from "./waiting.ts";

/** A program that builds images of containers, and runs commands in them. */
export interface ImageBuilder {
  readonly name: string;
  /** Builds the image of a directory with a Dockerfile. */
  build(directory: string, tag: string, args: Readonly<Record<string, string>>): Promise<void>;
  /** Runs a command in the image, without a network; resolves to what it printed. */
  run(tag: string, command: readonly string[]): Promise<string>;
  remove(tag: string): Promise<void>;
}

const PROGRAMS = ["docker", "podman", "buildah"];

/** Finds a program that answers and has, or can fetch, the image to start from; undefined if there is none. */
export async function findImageBuilder(base: string): Promise<ImageBuilder | undefined> {
  for (const name of PROGRAMS) {
    const isThere = name === "buildah" ? ["inspect", "--type", "image", base] : ["image", "inspect", base];
    if (!await answers(name, ["info"])) continue;
    if (await answers(name, isThere) || await answers(name, ["pull", base])) return builderOf(name);
  }
}

function builderOf(name: string): ImageBuilder {
  return {
    name,
    async build(directory, tag, args) {
      const flags = Object.entries(args).flatMap(([name, value]) => ["--build-arg", `${name}=${value}`]);
      await execute(name, ["build", ...flags, "--tag", tag, directory]);
    },
    async run(tag, command) {
      if (name !== "buildah") return await execute(name, ["run", "--rm", "--network", "none", tag, ...command]);
      // It runs no entry point of an image.
      const container = (await execute(name, ["from", tag])).trim();
      try {
        return await execute(name, ["run", "--network", "none", container, "--", "deno", ...command]);
      } finally {
        await execute(name, ["rm", container]);
      }
    },
    async remove(tag) {
      await execute(name, ["rmi", tag]);
    },
  };
}

async function answers(program: string, args: readonly string[]): Promise<boolean> {
  return await deadline(execute(program, args), () => `${program} ${args.join(" ")}`).then(() => true, () => false);
}

async function execute(program: string, args: readonly string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(program, { args: [...args], stdin: "null" }).output();
  const [printed, said] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  if (!success) throw new Error(`${program} ${args.join(" ")} failed: ${said}${printed}`);
  return printed!;
}

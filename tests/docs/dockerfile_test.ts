import { assert, assertEquals, assertMatch } from "@std/assert";
import { DockerfileParser, type Instruction } from "dockerfile-ast";
import { validate } from "dockerfile-utils";
import { join } from "node:path";
import { VERSION } from "../../src/version.ts";
import { findCommands, parseCommandLine } from "../support/command_lines.ts";
import { findImageBuilder } from "../support/image_builder.ts";
import { jsonLines } from "../support/project.ts";
import { buildDist } from "../wire/runtimes.ts";

const DOCKERFILE = await Deno.readTextFile(new URL("../../docs/deploying/Dockerfile", import.meta.url));
const INSTRUCTIONS = DockerfileParser.parse(DOCKERFILE).getInstructions();
const JSR = "jsr:@firefly/tasks/cli";

/** The arguments of the last instruction of a kind. */
function argumentsOf(keyword: string): string {
  return INSTRUCTIONS.findLast((instruction) => instruction.getKeyword() === keyword)!.getArgumentsContent()!;
}

/** What follows `CMD` in a health check. */
function healthCheck(): string[] {
  return JSON.parse(/CMD (\[.*\])$/.exec(argumentsOf("HEALTHCHECK"))![1]!);
}

Deno.test("a linter finds nothing in docs/deploying/Dockerfile, and finds a flag that there is not", () => {
  const messages = (text: string) => validate(text).map(({ message }) => message);

  assertEquals(messages(DOCKERFILE), []);
  assertEquals(messages(DOCKERFILE.replace("--start-period", "--startperiod")), ["Unknown flag: startperiod"]);
});

Deno.test("docs/deploying/Dockerfile starts a consumer that its health check can reach, and gets SIGTERM", async () => {
  const line = parseCommandLine(JSON.parse(argumentsOf("CMD")), await findCommands()); // a shell passes no SIGTERM on
  assertEquals(line?.command.name, "consume");
  assertEquals(argumentsOf("EXPOSE"), line!.args.text("probe-port"));
  assert(healthCheck().at(-1)!.includes(`:${argumentsOf("EXPOSE")}/livez'`));
  assertEquals(argumentsOf("STOPSIGNAL"), "SIGTERM");
  assertEquals(argumentsOf("FROM"), `denoland/deno:${Deno.version.deno.replace(/^(\d+\.\d+)\..*/, "$1.0")}`);
  const isOf = (keyword: string) => (instruction: Instruction) => instruction.getKeyword() === keyword;
  assertEquals(INSTRUCTIONS.some(isOf("ENTRYPOINT")), false, "the image starts tini");
  for (const instruction of INSTRUCTIONS.filter(isOf("RUN"))) JSON.parse(instruction.getArgumentsContent()!);
  const page = await Deno.readTextFile(new URL("../../docs/configuration.md", import.meta.url));
  const names = Array.from(DOCKERFILE.matchAll(/\bFIREFLY_\w+/g), ([name]) => name);
  assertEquals([names.filter((name) => !page.includes(`\`${name}\``)), names.length > 0], [[], true]);
});

const builder = await findImageBuilder(argumentsOf("FROM"));

Deno.test({
  name: `docs/deploying/Dockerfile builds${builder ? ` with ${builder.name}` : ""}, and its image runs tasks offline`,
  ignore: builder === undefined,
  async fn() {
    const directory = await Deno.makeTempDir({ prefix: "firefly_image_" });
    const tag = `localhost/firefly-test:${Deno.pid}`;
    try {
      await buildDist(directory);
      const write = (file: string, text: string) => Deno.writeTextFile(join(directory, file), text);
      await write(
        "tasks.ts",
        `import { task } from "./dist/mod.js";\nexport const send = task("mail.send", () => {});`,
      );
      // This package in place of the one that JSR has.
      await write("Dockerfile", DOCKERFILE.replaceAll(JSR, "./dist/cli.js"));
      await builder!.build(directory, tag, { RELEASE: "1.4.0" });
      try {
        const run = (...args: string[]) => builder!.run(tag, ["run", "-A", "./dist/cli.js", ...args]);
        assertEquals((await run("version")).trim(), VERSION);
        assertEquals(jsonLines(await run("tasks")).map(({ func_name: name }) => name), ["mail.send"]);
        const environment = "console.log(Deno.env.get('FIREFLY_RELEASE'), Deno.uid() > 0, Deno.cwd())";
        assertMatch(await builder!.run(tag, ["eval", environment]), /^1\.4\.0 true \/app$/m);
        const check = await builder!.run(tag, healthCheck().slice(1)).catch(String);
        assertMatch(check, /Connection refused|ConnectionRefused/); // it runs, and nothing listens
      } finally {
        await builder!.remove(tag);
      }
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
  },
});

import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { type Project, testProject } from "../support/project.ts";

/** Whether a program is here. */
async function has(program: string): Promise<boolean> {
  return await new Deno.Command("which", { args: [program], stdout: "null", stderr: "null" }).output()
    .then(({ success }) => success, () => false);
}

const [hasBash, hasZsh, hasFish, hasMandoc, hasMan] = await Promise.all(
  ["bash", "zsh", "fish", "mandoc", "man"].map(has),
);

/** Runs a program, and returns what it prints. */
async function output(program: string, ...args: string[]): Promise<string> {
  const env = { TERM: "dumb", HOME: await Deno.makeTempDir(), LC_ALL: "C.UTF-8" };
  const { stdout, stderr } = await new Deno.Command(program, { args, env }).output();
  await Deno.remove(env.HOME, { recursive: true });
  const error = new TextDecoder().decode(stderr);
  assertEquals(error, "");
  return new TextDecoder().decode(stdout);
}

/** Writes what a command prints into a file. */
async function fileOf(project: Project, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await project.run(...args);
  assertEquals([code, stderr], [0, ""]);
  const file = `${project.directory}/${args.join("_")}`;
  await Deno.writeTextFile(file, stdout);
  return file;
}

Deno.test({
  name: "completions bash completes commands, flags, and the words of a flag and of an argument",
  ignore: !hasBash,
  async fn() {
    await using project = await testProject({ files: { "firefly.config.ts": "export default {};" } });
    const file = await fileOf(project, "completions", "bash");
    const complete = async (...words: string[]) => {
      const quoted = ["firefly", ...words].map((word) => `'${word}'`).join(" ");
      const script = `source ${file}; cd ${project.directory}; COMP_WORDS=(${quoted}); COMP_CWORD=${words.length}; ` +
        `_firefly; printf '%s\\n' "\${COMPREPLY[@]}"; complete -p firefly >&1 | wc -l`;
      const [count, ...found] = (await output("bash", "--norc", "-c", script)).trim().split("\n").reverse();
      assertEquals(count, "1");
      return found.reverse().filter(Boolean);
    };

    assertEquals(await complete("con"), ["consume", "consumers", "config"]);
    assertEquals(await complete("--quiet", "sho"), ["show"]);
    assertEquals(await complete("consume", "--max"), ["--max-tasks", "--max-memory"]);
    assertEquals(await complete("list", "--status", "fai"), ["failed"]);
    assertEquals(await complete("list", "--config", "fire"), ["firefly.config.ts"]);
    assertEquals(await complete("consume", "-q", ""), []);
    assertEquals(await complete("cron", ""), ["list", "pause", "resume", "run", "delete"]);
    assertEquals(await complete("consumers", ""), ["set"]);
    assertEquals(await complete("help", "expl"), ["explain"]);
    assertEquals(await complete("completions", "b"), ["bash"]);
  },
});

Deno.test({
  name: "completions zsh completes in a real zsh",
  ignore: !hasZsh,
  async fn() {
    await using project = await testProject();
    const file = await fileOf(project, "completions", "zsh");
    // Types a line up to the key Tab, waits for what completes it, and clears the line.
    const typed = [["firefly expl", "ain"], ["firefly consume --max-m", "emory"], [
      "firefly list --status=canc",
      "elled",
    ]];
    const lines = typed.map(([keys, expected]) =>
      `zpty -w -n z $'${keys}\\t'; zpty -r z out '*${expected}*'; print -r -- "\${out##*${keys}}"; zpty -w -n z $'\\C-u'`
    );
    const script = `zmodload zsh/zpty; zpty z zsh -f -i
      zpty -w z "PROMPT='> '; autoload -Uz compinit; compinit -D -u; source ${file}; print loa''ded"
      zpty -r z out '*loaded*'; ${lines.join("; ")}; zpty -d z`;

    const shown = await output("timeout", "30", "zsh", "-f", "-c", script);

    for (const [, expected] of typed) assertStringIncludes(shown, expected!);
  },
});

Deno.test({
  name: "completions fish completes in a real fish",
  ignore: !hasFish,
  async fn() {
    await using project = await testProject();
    const file = await fileOf(project, "completions", "fish");
    const complete = async (line: string) =>
      (await output("fish", "--no-config", "-c", `source ${file}; complete -C "${line}"`)).trim().split("\n").map((
        line,
      ) => line.split("\t")[0]);

    assertEquals(await complete("firefly expl"), ["explain"]);
    assertEquals(await complete("firefly consume --max"), ["--max-memory", "--max-tasks"]);
    assertEquals(await complete("firefly list --status canc"), ["cancelled"]);
    assertEquals(await complete("firefly cron pau"), ["pause"]);
  },
});

Deno.test("man prints a manual page with every command and flag", async () => {
  await using project = await testProject();
  const file = await fileOf(project, "man");

  const page = await Deno.readTextFile(file);
  assertMatch(page, /^\.TH FIREFLY 1 "" "Firefly \d+\.\d+\.\d+" "User Commands"\n\.SH NAME\n/);
  assertStringIncludes(page, ".B \\-c, \\-\\-concurrency <number>\n");
  for (const line of page.split("\n")) assertMatch(line, /^(\.(TH|SH|SS|TP|PP|B|I|BR|nf|fi)\b|[^.']|$)/);
  if (hasMandoc) assertEquals(await output("mandoc", "-T", "lint", "-W", "error", file), "");
  if (!hasMan) return;
  const shown = await output("man", "-P", "cat", "-l", file);
  assertMatch(shown, /^ +firefly consumers \[set <consumer…>\]$/m);
  assertMatch(shown, /^ +-q, --queue <name>$/m);
});

import type { CompletedCommand, CompletedFlag } from "./completed_command.ts";

/** The script for fish. */
export function fishCompletions(commands: readonly CompletedCommand[]): string {
  const globals = commands.at(-1)!.flags.map(({ name }) => name);
  const shared = commands.at(-1)!.flags.map((flag) => `complete -c firefly ${flagOf(flag)}`);
  return [
    "# fish completion for firefly",
    "complete -c firefly -f",
    ...shared,
    ...commands.flatMap(({ name, summary, flags, words }) => {
      const inCommand = `complete -c firefly -n '__fish_seen_subcommand_from ${name}'`;
      return [
        `complete -c firefly -n __fish_use_subcommand -a ${name} -d ${quote(summary)}`,
        ...(words.length > 0 ? [`${inCommand} -a ${quote(words.join(" "))}`] : []),
        ...flags.filter(({ name }) => !globals.includes(name)).map((flag) => `${inCommand} ${flagOf(flag)}`),
      ];
    }),
    "",
  ].join("\n");
}

function flagOf({ name, short, description, takes, choices }: CompletedFlag): string {
  const completes = {
    nothing: "",
    file: " -r -F",
    choice: ` -x -a ${quote(choices?.join(" ") ?? "")}`,
    text: " -x",
  }[takes];
  return `${short ? `-s ${short} ` : ""}-l ${name}${completes} -d ${quote(description)}`;
}

function quote(text: string): string {
  return `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
}

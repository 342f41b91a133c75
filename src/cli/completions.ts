import type { Command } from "./command.ts";
import { type CompletedCommand, completedCommands } from "./completed_command.ts";
import { bashCompletions } from "./completions_bash.ts";
import { fishCompletions } from "./completions_fish.ts";
import { zshCompletions } from "./completions_zsh.ts";
import { usageError } from "./arguments.ts";
import { EXIT } from "./exit_code.ts";
import { didYouMean } from "../suggest.ts";

const SCRIPTS: Readonly<Record<string, (commands: readonly CompletedCommand[]) => string>> = {
  bash: bashCompletions,
  zsh: zshCompletions,
  fish: fishCompletions,
};
const SHELLS = Object.keys(SCRIPTS);

/** `completions`: prints the script that completes command lines in a shell. */
export const completions: Command = {
  name: "completions",
  usage: SHELLS.join("|"),
  positionals: [1, 1],
  summary: "Print the script that completes commands and flags in a shell",
  details:
    "bash: add `source <(firefly completions bash)` to ~/.bashrc. zsh: add `source <(firefly completions zsh)` to " +
    "~/.zshrc, after compinit. fish: write it to ~/.config/fish/completions/firefly.fish. The program has to be called " +
    "firefly; in zsh, an alias needs `setopt complete_aliases`.",
  flags: {},
  examples: SHELLS.map((shell) => `completions ${shell}`),
  async run({ positionals: [shell] }, terminal, commands) {
    if (!Object.hasOwn(SCRIPTS, shell!)) {
      const hint = didYouMean(shell!, SHELLS) || `: it must be one of ${SHELLS.join(", ")}`;
      throw usageError("completions", `there are none for "${shell}"${hint}`);
    }
    await terminal.print(SCRIPTS[shell!]!(completedCommands(commands)).trimEnd());
    return EXIT.done;
  },
};

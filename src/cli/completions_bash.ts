import type { CompletedCommand, CompletedFlag } from "./completed_command.ts";

/** The script for bash 3.2 and later, without bash-completion. */
export function bashCompletions(commands: readonly CompletedCommand[]): string {
  const names = commands.map(({ name }) => name);
  const globals = commands.at(-1)!.flags;
  const choices = commands.flatMap(({ name, flags }) =>
    flags.filter(({ takes }) => takes === "choice").map((flag) =>
      `    "${name} --${flag.name}") COMPREPLY=($(compgen -W "${flag.choices!.join(" ")}" -- "$cur")); return ;;\n`
    )
  );
  return `# bash completion for firefly
_firefly() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} command= flags= files= texts= words= i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    case \${COMP_WORDS[i]} in
    ${names.join("|")}) command=\${COMP_WORDS[i]}; break ;;
    esac
  done
  case $command in
    "") ${variablesOf(globals, names)} ;;
${commands.map(({ name, flags, words }) => `    ${name}) ${variablesOf(flags, words)} ;;\n`).join("")}  esac
  case "$command $prev" in
${choices.join("")}  esac
  case " $files " in *" $prev "*) COMPREPLY=($(compgen -f -- "$cur")); return ;; esac
  case " $texts " in *" $prev "*) return ;; esac
  case $cur in
    -*) COMPREPLY=($(compgen -W "$flags" -- "$cur")) ;;
    *) if [[ -z $command || $i -eq $((COMP_CWORD - 1)) ]]; then COMPREPLY=($(compgen -W "$words" -- "$cur")); fi ;;
  esac
}
complete -F _firefly firefly
`;
}

/** The flags, those that take a file or a text, and the words of the first argument. */
function variablesOf(flags: readonly CompletedFlag[], words: readonly string[]): string {
  const forms = (takes: string) =>
    flags.filter((flag) => flag.takes === takes).flatMap((
      { name, short },
    ) => [`--${name}`, ...(short ? [`-${short}`] : [])]);
  return [
    `flags="${flags.map(({ name }) => `--${name}`).join(" ")}"`,
    `files="${forms("file").join(" ")}"`,
    `texts="${forms("text").join(" ")}"`,
    `words="${words.join(" ")}"`,
  ].join("; ");
}

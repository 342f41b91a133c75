import type { CompletedCommand, CompletedFlag } from "./completed_command.ts";

/** The script for zsh: to be sourced after compinit, or as the file `_firefly` in `fpath`. */
export function zshCompletions(commands: readonly CompletedCommand[]): string {
  const described = commands.map(({ name, summary }) => `    ${quote(`${name}:${summary}`)}\n`);
  const cases = commands.map(({ name, flags, words }) => {
    const specs = [
      ...flags.map(specOf),
      words.length > 0 ? quote(`1:argument:(${words.join(" ")})`) : quote("*:argument:"),
    ];
    return `        ${name})\n          _arguments -s \\\n${
      specs.map((spec) => `            ${spec}`).join(" \\\n")
    } ;;\n`;
  });
  const globals = commands.at(-1)!.flags.map((flag) => `    ${specOf(flag)} \\\n`);
  return `#compdef firefly
_firefly() {
  local context state line
  local -a commands=(
${described.join("")}  )
  _arguments -s -C \\
${globals.join("")}    '1:command:->command' \\
    '*::argument:->argument'
  case $state in
    command) _describe command commands ;;
    argument)
      case $words[1] in
${cases.join("")}      esac ;;
  esac
}
if [[ $funcstack[1] == _firefly ]]; then _firefly "$@"; else compdef _firefly firefly; fi
`;
}

/** The specification of a flag for _arguments. */
function specOf({ name, short, list, description, takes, value, choices }: CompletedFlag): string {
  const text = description.replaceAll(/[[\]\\:]/g, "\\$&");
  const completes = takes === "file" ? "_files" : takes === "choice" ? `(${choices!.join(" ")})` : "";
  const argument = takes === "nothing" ? "" : `:${value}:${completes}`;
  const tail = `[${text}]${argument}`;
  const equals = takes === "nothing" ? "" : "=";
  const often = list ? "*" : "";
  if (!short) return quote(`${often}--${name}${equals}${tail}`);
  const exclusive = list ? "" : `(-${short} --${name})`;
  const long = quote(`${often}${exclusive}--${name}${equals}${tail}`);
  return `${quote(`${often}${exclusive}-${short}${takes === "nothing" ? "" : "+"}${tail}`)} ${long}`;
}

function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

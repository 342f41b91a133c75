/** One flag. Its key in {@linkcode Flags} is its name without hyphens. */
export interface Flag {
  /** The placeholder of its value in the help. A flag without one is a switch. */
  readonly value?: string;
  /** Its short form, one letter. */
  readonly short?: string;
  /** The variable of the environment that sets it where the flag is not given. */
  readonly env?: string;
  /** The option of `firefly.config.ts` that sets it where neither the flag nor the variable does, such as `consume.lease`. */
  readonly config?: string;
  /** Its value where nothing sets it. */
  readonly byDefault?: string;
  /** The words that its value may be, if there are few. */
  readonly choices?: readonly string[];
  /** Accepts several values: by repeating the flag, or with `commas` also within one value. */
  readonly list?: "commas" | "repeat";
  /** Its description in the help. */
  readonly description: string;
}

/** The variables of a process. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** Flags by name. */
export type Flags = Readonly<Record<string, Flag>>;

/** The index of the command in `args`: the first argument that is neither a flag nor a flag's value; -1 without one. */
export function commandIndex(args: readonly string[], flags: Flags): number {
  for (let i = 0; i < args.length; i++) {
    const argument = args[i]!;
    if (!argument.startsWith("-")) return i;
    if (takesNext(argument, flags)) i++;
  }
  return -1;
}

/** Whether the argument is a flag whose value is the next argument. */
export function takesNext(argument: string, flags: Flags): boolean {
  const name = /^-[a-z]$/.test(argument) ? longForm(argument.slice(1), flags) : argument.slice(2);
  if (name === undefined || !argument.startsWith("-")) return false;
  return Object.hasOwn(flags, name) && flags[name]!.value !== undefined;
}

function longForm(short: string, flags: Flags): string | undefined {
  return Object.keys(flags).find((name) => flags[name]!.short === short);
}

/** The short forms, each with its flag. */
export function shortForms(flags: Flags): Record<string, string> {
  return Object.fromEntries(Object.entries(flags).flatMap(([name, { short }]) => short ? [[short, name]] : []));
}

/** Whether the variable of a switch is on. */
export function isOnIn(environment: Environment, { env }: Flag): boolean {
  return env !== undefined && parseSwitch(environment[env] ?? "") === true;
}

/** Parses the text of a variable that turns something on or off. */
export function parseSwitch(text: string): boolean | undefined {
  if (/^(1|true|yes|on)$/i.test(text)) return true;
  return /^(0|false|no|off)$/i.test(text) ? false : undefined;
}

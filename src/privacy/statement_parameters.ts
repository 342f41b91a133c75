/** What stands in the place of what is hidden. */
export const REDACTED = "[redacted]";
/** What stands in the place of what throws when it is read. */
const UNREADABLE = "[cannot be read]";
/** The members in which drivers, ORMs and query builders keep the parameters of the statement that failed. */
const PARAMETER_FIELDS = ["parameters", "params", "args", "bindings", "values"];
/** Shorter parameters are not looked for in texts: they are as likely to be something else there. */
const SHORTEST = 4;
const CAUSES = 5;

/**
 * The parameters of the failed statement that an error, or a cause of it, tells of, as they may stand in its texts.
 * Drivers keep them beside the message, and some put them into it: so does the server, which quotes what it cannot read.
 */
export function findParameters(thrown: unknown): string[] {
  const found = new Set<string>();
  let error: unknown = thrown;
  for (let i = 0; i <= CAUSES && error instanceof Error; i++) {
    for (const field of PARAMETER_FIELDS) {
      const list = readPart(error, field);
      if (!Array.isArray(list)) continue;
      for (const parameter of list.flat()) {
        if (!["string", "number", "bigint"].includes(typeof parameter)) continue;
        if (String(parameter).length >= SHORTEST) found.add(String(parameter));
      }
    }
    error = readPart(error, "cause");
  }
  return [...found].sort((a, b) => b.length - a.length);
}

/** A text without the parameters of a failed statement. */
export function hideParametersInText(text: string, parameters: readonly string[]): string {
  return parameters.reduce((left, parameter) => left.replaceAll(parameter, REDACTED), text);
}

/** A member of an error without the parameters of a failed statement. */
export function hideParametersInField(part: unknown, key: string, parameters: readonly string[]): unknown {
  if (parameters.length === 0) return part;
  if (PARAMETER_FIELDS.includes(key) && Array.isArray(part)) return REDACTED;
  return typeof part === "string" ? hideParametersInText(part, parameters) : part;
}

/** A member of an object, whose getter may throw. */
export function readPart(value: object, key: string | symbol): unknown {
  try {
    return value[key as keyof object];
  } catch {
    return UNREADABLE;
  }
}

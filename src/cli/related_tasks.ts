import type { RelatedRow } from "../store/dependencies.ts";
import { escapeLine } from "./escape.ts";

/** How many tasks that one depends on or has called are shown with it, and how many that depend on it. */
export const SHOWN_RELATED = 10;

/** The tasks that one depends on or has called, and those that depend on it, for its page: a line each. */
export function describeRelated(
  related: readonly RelatedRow[],
  id: number,
): [label: string, text: string | undefined][] {
  const describe = (rows: RelatedRow[]) => {
    if (rows.length === 0) return undefined;
    const lines = rows.slice(0, SHOWN_RELATED).map(({ id, func_name, status }) =>
      func_name === null ? `#${id} deleted` : `${escapeLine(func_name)} #${id} ${status}`
    );
    return [...lines, ...(rows.length > SHOWN_RELATED ? [`… more: firefly graph ${id}`] : [])].join("\n");
  };
  return [
    ["Depends on", describe(related.filter(({ isDependant, isCall }) => !isDependant && !isCall))],
    ["Dependants", describe(related.filter(({ isDependant, isCall }) => isDependant && !isCall))],
    ["Called", describe(related.filter(({ isDependant, isCall }) => !isDependant && isCall))],
    ["Called by", describe(related.filter(({ isDependant, isCall }) => isDependant && isCall))],
  ];
}

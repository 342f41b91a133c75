import type { LimitUse } from "../../store/overview_queue.ts";
import { formatSeconds } from "../../times.ts";
import type { PageContext } from "../context.ts";
import { type Html, markup } from "../html.ts";
import { places } from "../parts/charts.ts";
import { formatNumber } from "../parts/numbers.ts";
import { empty } from "../parts/panels.ts";
import { table } from "../parts/tables.ts";
import { age } from "../parts/times.ts";

/** The keys of limits that tasks wait for, or `none`; a connection with the role viewer reads no keys. */
export function limitsTable(context: PageContext, limits: readonly LimitUse[] | undefined, none: string): Html {
  if (limits === undefined) return empty("The database's role lets this dashboard read no keys of limits.");
  if (limits.length === 0) return empty(none);
  const columns = [
    "Key",
    { head: "Taken", class: "fit" },
    { head: "Waiting", class: "num" },
    { head: "Next", class: "num slim dim" },
  ];
  const rows = limits.map((limit) => [
    markup`<code>${context.redactText(limit.key, ["key"])}</code><span class="line">${limitWords(limit)}</span>`,
    limit.slots === null ? formatNumber(limit.taken) : places(limit.taken, limit.slots),
    formatNumber(limit.waiting),
    limit.kind === "rate" ? age(limit.next, context.now) : markup`<span class="dim">–</span>`,
  ]);
  return table({ label: "Keys of limits that tasks wait for", columns, rows });
}

function limitWords({ kind, slots, per }: LimitUse): string {
  if (slots === null) return kind === "rate" ? "starts, as its consumer defines" : "at a time, as its consumer defines";
  return per === null
    ? `${formatNumber(slots)} at a time`
    : `${formatNumber(slots)} starts every ${formatSeconds(per)}`;
}

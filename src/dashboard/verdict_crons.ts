import type { CronState } from "../store/cron_history.ts";
import { slotsOf } from "./cron_slots.ts";
import { markup } from "./html.ts";
import { amount } from "./parts/numbers.ts";
import { formatUtc } from "./parts/times.ts";
import type { Entry, Link, Rule, Step } from "./verdict_entry.ts";
import { messageOf, nameLink } from "./verdict_failures.ts";
import { MISSED } from "./verdict_thresholds.ts";

/** `The last run of reports.nightly failed` */
const failed: Rule = {
  find({ crons }, link) {
    return crons.filter(({ lastStatus, removed }) => lastStatus === "failed" && !removed).map((cron): Entry => ({
      id: `cron failed:${cron.name}`,
      rank: "loses",
      shape: "failed",
      sentence: markup`<b>The last run of ${cronLink(cron, link)} failed</b>${
        cron.lastSlot && `: its slot of ${formatUtc(cron.lastSlot)}`
      }`,
      evidence: messageOf(cron.error ?? undefined),
      since: cron.lastEnded ?? cron.lastSlot,
      steps: [
        runNow(cron),
        ...(cron.lastTaskId === null ? [] : [{ label: "See", href: link(`/tasks/${cron.lastTaskId}`) }]),
      ],
    }));
  },
  more: [(count) => `The last runs of ${amount(count, "other cron")} failed`, "/crons"],
};

/** `reports.nightly missed its slot of 2026-11-29 03:00:00 UTC` */
const missed: Rule = {
  find({ crons, now }, link) {
    return crons.flatMap((cron): Entry[] => {
      const slot = missedSlot(cron, now);
      if (!slot) return [];
      return [{
        id: `cron missed:${cron.name}`,
        rank: "stands",
        shape: "unknown",
        bad: true,
        sentence: markup`<b>${cronLink(cron, link)} missed its slot</b> of ${formatUtc(slot)}`,
        evidence: cron.lastSlot
          ? `The last one that fired was that of ${formatUtc(cron.lastSlot)}`
          : "None has fired yet",
        since: slot,
        steps: [runNow(cron), { label: "See", href: link("/crons") }],
      }];
    });
  },
  more: [(count) => `${amount(count, "other cron")} missed a slot`, "/crons"],
};

/** `No live consumer fires search.reindex`, or `old.cleanup has no cron any more` */
const orphaned: Rule = {
  find({ crons }, link) {
    const orphans = crons.filter(({ state }) => state === "orphaned");
    return orphans.sort((a, b) => Number(a.removed) - Number(b.removed)).map((cron): Entry =>
      cron.removed
        ? {
          id: `cron removed:${cron.name}`,
          rank: "odd",
          shape: "unknown",
          sentence: markup`<b>The cron of ${cronLink(cron, link)} was removed</b> from the code`,
          evidence: "It fires no more; its history is kept until you delete it",
          since: null,
          steps: [
            { label: "Delete…", href: link("/crons/delete", { name: cron.name }), asks: true },
            { label: "See", href: link("/crons") },
          ],
        }
        : {
          id: `cron orphaned:${cron.name}`,
          rank: "stands",
          shape: "unknown",
          bad: true,
          sentence: markup`<b>No live consumer fires ${cronLink(cron, link)}</b>: its slots are missed`,
          evidence: `Start a consumer that defines it, or delete the cron`,
          since: null,
          steps: [{ label: "See", href: link("/crons") }],
        }
    );
  },
  more: [(count) => `${amount(count, "other cron")} ${count === 1 ? "has" : "have"} no live consumer`, "/crons"],
};

function cronLink({ name }: CronState, link: Link) {
  return nameLink(name, link);
}

function runNow({ name }: CronState): Step {
  return { label: "Run now", path: "/crons/run", fields: { name } };
}

/** The newest slot that an active cron should have fired and did not; null if there is none. */
export function missedSlot(cron: CronState, now: Date): Date | null {
  if (cron.state !== "active") return null;
  const after = cron.lastSlot && cron.lastSlot > cron.since ? cron.lastSlot : cron.since;
  const until = new Date(now.getTime() - MISSED * 1000);
  return until > after ? slotsOf(cron)?.between(after, until, 1)[0] ?? null : null;
}

/** The rules about crons. */
export const CRON_RULES: readonly Rule[] = [failed, missed, orphaned];

/*
 * From when on something needs attention, with the sentence that each makes. Below these, pages show numbers and no more.
 * An entry is there as long as its cause is.
 */

/**
 * `mail.send fails: 1,284 of 1,902 attempts in the last hour`: so many attempts failed within 15 minutes, and this part of
 * all.
 */
export const FAILS = { attempts: 5, share: 0.2 };

/** `mail.send fails …, since 13:42`: where minutes begin that have this part of the failures of now, with such gaps. */
export const STRETCH = { share: 0.25, gap: 5 };

/** `billing.charge fails in a new way`: its first error of the kind is so many minutes old, and a task failed for good. */
export const NEW = 60;

/** `mail falls behind`: a task has been due for so many seconds while all places of the consumers are taken. */
export const BEHIND = 60;

/** `media-2, process 4121, is silent`: it has not renewed its lease for this part of it; it renews it each third. */
export const SILENT = 2 / 3;

/** `reports.nightly missed its slot`: it has not fired so many seconds later; as a rule it fires within one. */
export const MISSED = 60;

/**
 * `media.transcode #1047702 has run for 12m 20s`: longer than so many seconds, and than so many times what 95 of 100
 * attempts of the last hour took, if there were so many.
 */
export const LONG = { seconds: 60, times: 3, attempts: 5 };

/** `charge fails: 12 tasks try this step again later`: so many tasks wait to try a step of one name again. */
export const RETRIES = 5;

/** `3 tasks wait for the signal approved`: the oldest has waited for so many days. */
export const UNSIGNALED = 30;

/** `3 other queues are paused`: more entries of one kind than this become one. */
export const MOST_OF_A_KIND = 4;

import { task } from "../../mod.ts";

/** Comes every second. */
export const tick = task({ name: "data.tick", cron: "* * * * * *" }, () => {});

/** Runs for longer than a lease. */
export const linger = task("data.linger", (seconds: number) => new Promise((end) => setTimeout(end, seconds * 1000)));

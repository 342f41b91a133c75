/** A task of the clock. @module */
import { task } from "@firefly/tasks";
import { OWN } from "./runtimes.ts";

/** Tells which runtime ran it. */
export const tick = task({ name: "across.tick", cron: "* * * * * *" }, () => OWN);

import { configure, type Firefly } from "@firefly/tasks";
import { dashboard } from "@firefly/tasks/dashboard";
import { authorize } from "../login.ts";
import "../tasks.ts";

// Next evaluates this module once for each bundle, and again after an edit; there must be one instance.
const shared = globalThis as { firefly?: Firefly };

export const firefly = shared.firefly ??= configure({});
export const board = dashboard({ firefly, basePath: "/firefly", authorize });

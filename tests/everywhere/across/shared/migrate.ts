/** Applies the migrations of its release, and tells which. @module */
import { configure } from "@firefly/tasks";
import { tell } from "./runtimes.ts";

const ff = configure({});
tell({ applied: (await ff.migrate()).map(({ name }) => name) });
await ff.close();

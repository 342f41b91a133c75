// Within: 120 s
import { library } from "../check.ts";
import { checkLife } from "./support/life.ts";
import { EXAMPLES, runs, RUNTIME } from "./support/server.ts";

library("hono");
if (RUNTIME === "Node") library("@hono/node-server");
await checkLife({ command: runs(`${EXAMPLES}hono_${RUNTIME.toLowerCase()}.ts`), malformed: 422 });

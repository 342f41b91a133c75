// Within: 120 s
import { library } from "../check.ts";
import { checkLife } from "./support/life.ts";
import { EXAMPLES, runs } from "./support/server.ts";

library("fastify");
await checkLife({ command: runs(`${EXAMPLES}fastify.ts`), malformed: 400 });

// Within: 120 s
import { library } from "../check.ts";
import { checkLife } from "./support/life.ts";
import { EXAMPLES, runs } from "./support/server.ts";

library("express");
await checkLife({ command: runs(`${EXAMPLES}express.ts`), malformed: 400 });

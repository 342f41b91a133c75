import process from "node:process";
import { firefly } from "./firefly.ts";

if (process.env.CONSUMER !== "outside") firefly.consume({ concurrency: 5 });

// With NEXT_MANUAL_SIG_HANDLE=true. Otherwise Next ends the process as soon as it has answered, whatever a consumer runs.
const stop = () => void firefly.close().then(() => process.exit(0));
process.once("SIGTERM", stop).once("SIGINT", stop);

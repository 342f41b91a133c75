// Imported into the demo's consumer: ends it when the demo is gone, by whatever end, and with it the other end of stdin.
import process from "node:process";

process.stdin.on("end", () => process.kill(process.pid, "SIGTERM"));
process.stdin.resume();

/**
 * What the watchdog's thread runs, as text: a module of its own could be loaded neither from a bundle nor, in Node, over
 * https. `require` is what all runtimes have in such a thread.
 *
 * Only intervals in which its own timer was punctual count. When the whole process stood still (SIGSTOP, a frozen
 * container, a suspended machine), this thread stood still with it, and nobody blocked anything.
 */
export const WATCHDOG_WORKER = `
const { workerData: { shared, names, limit, tick, late, pretty } } = require("node:worker_threads");
const { writeSync } = require("node:fs");
const process = require("node:process");

const cells = new Int32Array(shared, 0, 2);
const ids = new Float64Array(shared, 8, 1);
let beats = -1;
let blocked = 0;
let last = performance.now();

const timer = setInterval(() => {
  const now = performance.now();
  const elapsed = now - last;
  last = now;
  const seen = Atomics.load(cells, 0);
  if (seen !== beats) {
    beats = seen;
    blocked = 0;
  } else if (elapsed < late) {
    blocked += elapsed;
  }
  if (blocked < limit) return;
  clearInterval(timer);
  write("The event loop was blocked for " + (blocked / 1000).toFixed(1) + " s, so the process is ended: " + quarantined());
  process.kill(process.pid, "SIGKILL");
  setTimeout(endInit, 200);
}, tick);

function quarantined() {
  const place = Atomics.load(cells, 1);
  return place < 0 ? "no task had begun" : names[place] + " #" + ids[0] + " began last";
}

// The first process of a container is unavailable to its own signals. Only Deno can end it all the same.
function endInit() {
  for (const library of ["libc.so.6", "libc.so"]) {
    try {
      Deno.dlopen(library, { _exit: { parameters: ["i32"], result: "void" } }).symbols._exit(137);
    } catch {}
  }
  write("Cannot end the process as it is the first of its container: it needs an init such as tini");
}

function write(text) {
  const time = new Date();
  const place = Atomics.load(cells, 1);
  const task = place < 0 ? {} : { id: ids[0], func_name: names[place] };
  const entry = { time, level: "error", event: "watchdog", message: text, seconds: blocked / 1000, ...task };
  const line = pretty ? time.toTimeString().slice(0, 8) + "  watchdog   " + text : JSON.stringify(entry);
  try {
    writeSync(2, line + "\\n");
  } catch {}
}
`;

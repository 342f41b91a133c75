/**
 * The code of the watchdog's thread, as text: a module of its own could be loaded neither from a bundle nor, in Node,
 * over https. `require` works in such a thread on all runtimes.
 *
 * Only intervals count in which its own timer was punctual. When the whole process stood still (SIGSTOP, a frozen
 * container, a suspended machine), this thread stood still with it, and no handler blocked anything.
 */
export const WATCHDOG_WORKER = `
const { workerData: { shared, names, limit, tick, late } } = require("node:worker_threads");
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
  write("The event loop was blocked for " + (blocked / 1000).toFixed(1) + " s, so the process is ended: " + lastStarted());
  process.kill(process.pid, "SIGKILL");
  setTimeout(exitAsFirstProcess, 200);
}, tick);

function lastStarted() {
  const place = Atomics.load(cells, 1);
  return place < 0 ? "no task had started" : names[place] + " #" + ids[0] + " started last";
}

// SIGKILL has no effect on the first process of a container that sends it to itself; only Deno can end it, by _exit.
// See docs/watchdog.md#as-the-first-process-of-a-container.
function exitAsFirstProcess() {
  for (const library of ["libc.so.6", "libc.so"]) {
    try {
      Deno.dlopen(library, { _exit: { parameters: ["i32"], result: "void" } }).symbols._exit(137);
    } catch {}
  }
  write("Cannot end the process as it is the first of its container: it needs an init such as tini");
}

function write(message) {
  const place = Atomics.load(cells, 1);
  const task = place < 0 ? {} : { id: ids[0], func_name: names[place] };
  const entry = { time: new Date(), level: "error", event: "watchdog", message, seconds: blocked / 1000, ...task };
  try {
    writeSync(2, JSON.stringify(entry) + "\\n");
  } catch {}
}
`;

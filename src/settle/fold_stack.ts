/** The folder of this package's sources, as stacks name it: a URL, or in some runtimes a path. */
const SOURCES = [new URL("../", import.meta.url).href, decodeURI(new URL("../", import.meta.url).pathname)];
/** Frames of the runtime, which lead into or out of those of this package. */
const RUNTIME = /\((?:node|ext|bun|native):|^\s*at (?:node|ext|native):|<anonymous>\)?$|\(native\)$/;
/** No stack needs to be searched beyond. */
const LONGEST = 64 * 1024;

/**
 * Folds each run of this package's own frames into one line, with the frames of the runtime around it: a user looks for
 * frames of the handler. A stack that has no other frames stays as it is.
 */
export function foldStack(stack: string): string {
  const lines = stack.slice(0, LONGEST).split("\n");
  const isFrame = (line: string) => /^\s*at |@.*:\d+:\d+$/.test(line);
  const first = lines.findIndex(isFrame);
  if (first < 0) return stack;
  const folded: string[] = lines.slice(0, first);
  let [run, foreign]: [string[], number] = [[], 0];
  const endRun = () => {
    if (run.some(isOwn)) folded.push(`    … ${run.length} frames of Firefly`);
    else folded.push(...run);
    run = [];
  };
  for (const line of lines.slice(first)) {
    if (isOwn(line) || RUNTIME.test(line)) run.push(line);
    else {
      endRun();
      folded.push(line);
      if (isFrame(line)) foreign++;
    }
  }
  endRun();
  return foreign > 0 ? folded.join("\n") : stack;
}

function isOwn(line: string): boolean {
  return SOURCES.some((folder) => line.includes(folder));
}

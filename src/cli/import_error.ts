import { relative } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { stripVTControlCharacters } from "node:util";

/** Where Firefly's own modules are, whose frames say nothing about the user's. */
const OWN = new URL("../", import.meta.url).href;
/**
 * Where the command line is, whose frames and what called it did not throw: this folder, or this file of a bundle, beside
 * which are those of what user code calls.
 */
const COMMAND_LINE = /\/cli\/import_error\.\w+$/.test(import.meta.url)
  ? new URL("./", import.meta.url).href
  : import.meta.url;
const LIBRARIES = /[\\/]node_modules[\\/]|\/npm\/registry\.|^(?:node|ext|native|bun):|^internal:/;
/** A place in a file, at the end of a line: `file:///app/tasks.ts:1:18`, in parentheses or not. */
const PLACE = /(?:^|[\s(])((?:[a-z]{2,}:\/\/|\/|[a-z]:[\\/])[^\s()]*?:\d+(?::\d+)?)\)?$/i;

/**
 * Describes in one line why a module cannot be imported, with the place of the error: `SyntaxError: Expression expected at
 * tasks/broken.ts:1:18`. Runtimes put it in another line of the message, in the stack, or in `position`.
 */
export function describeImportError(error: unknown): string {
  if (!(error instanceof Error) && !isMessageOfBun(error)) return `it throws ${String(error)}`;
  const message = stripVTControlCharacters(String(error.message));
  const [line = "", ...others] = message.split("\n");
  // Deno wraps a SyntaxError in a TypeError whose message begins with its name.
  const name = error.name === "BuildMessage" ? "SyntaxError" : error.name === "ResolveMessage" ? "Error" : error.name;
  const reason = shortenUrls(/^\w*Error: /.test(line) ? line : `${name}: ${line}`).replace(/\.$/, "");
  if (PLACE.test(line)) return reason;
  const place = placeIn(others) ?? placeOfSyntaxError(error, message) ?? placeInStack(error, message);
  return place === undefined ? reason : `${reason} at ${shownPlace(place)}`;
}

/** A path as a user would write it: relative to the working directory, if inside it. */
export function shown(path: string): string {
  const short = relative(process.cwd(), path);
  return short.startsWith("..") || /^[a-z]{2,}:/i.test(path) ? path : short;
}

/** What Bun throws if it cannot read or find a module: no error, but an object much like one. */
interface BunMessage {
  name: string;
  message: string;
  stack?: string;
  position?: { file: string; line: number; column: number } | null;
}

function isMessageOfBun(error: unknown): error is BunMessage {
  return typeof error === "object" && error !== null && /^(Build|Resolve)Message$/.test(String((error as Error).name));
}

/** The first place that lines name, unless it is one of Firefly or of a library. */
function placeIn(lines: string[]): string | undefined {
  return lines.map((line) => PLACE.exec(line)?.[1]).find((place) =>
    place !== undefined && !place.startsWith(OWN) && !place.startsWith(toPath(OWN)) && !LIBRARIES.test(place)
  );
}

/** Bun says where in an object; Node above the stack, with a line of the source and a mark below it. */
function placeOfSyntaxError(error: Error | BunMessage, message: string): string | undefined {
  const { position, stack = "" } = error as BunMessage;
  if (position?.file) return `${position.file}:${position.line}:${position.column}`;
  const [head] = stack.split(`${error.name}: ${message}`);
  const [, file, mark] = /^(\S+:\d+)\n.*\n( *)\^/.exec(head!) ?? [];
  return file === undefined ? undefined : `${file}:${mark!.length + 1}`;
}

function placeInStack({ stack = "" }: { stack?: string }, message: string): string | undefined {
  const frames = stripVTControlCharacters(stack).replace(message, ""); // a message may have lines that look like frames
  const lines = frames.split("\n");
  const end = lines.findIndex((line) => line.includes(COMMAND_LINE) || line.includes(toPath(COMMAND_LINE)));
  return placeIn(end < 0 ? lines : lines.slice(0, end));
}

/** The path of a module, by which some runtimes name it; the URL of one that is no file. */
function toPath(url: string): string {
  return url.startsWith("file:") ? fileURLToPath(url) : url;
}

function shownPlace(place: string): string {
  const [, file = place, position = ""] = /^(.*?)((?::\d+){1,2})$/.exec(place) ?? [];
  return `${shownFile(file)}${position}`;
}

function shortenUrls(text: string): string {
  return text.replace(/file:\/\/\/[^\s"']+/g, (url) => shownPlace(url));
}

function shownFile(file: string): string {
  const [path = file, query = ""] = file.split(/(?=[?#])/);
  try {
    return shown(path.startsWith("file:") ? fileURLToPath(path) : path) + query;
  } catch {
    return file;
  }
}

/**
 * Refuses phrases that read as a translation, and metaphors where the field has a word. Some patterns have a class of one
 * letter, so that a search for such a word does not find this file.
 */
import { assertEquals, assertMatch } from "@std/assert";

const ROOT = new URL("../../", import.meta.url);

/** What is refused, and what to write instead. */
interface Refusal {
  readonly pattern: RegExp;
  readonly instead: string;
}

/** Makes a refusal; a space stands for any white space, so that a phrase is found across lines. */
function refuse(pattern: RegExp, instead: string): Refusal {
  return { pattern: new RegExp(pattern.source.replaceAll(" ", "\\s+"), `${pattern.flags}g`), instead };
}

/** Turns of phrase. A capital letter counts as well, so that the start of a sentence is no way out. */
const PHRASES: readonly Refusal[] = [
  refuse(/\b(?:tell|tells|telling|told) of\b/i, "report, name, show, emit"),
  refuse(/\btold once\b/i, "emitted once, logged once"),
  refuse(/\bwhat (?:it|this|that|they) (?:is|are) about\b(?! to)/i, "its purpose, its state"),
  refuse(/\b(?:is|are) about (?:what|which|how|who|nothing)\b/i, "a verb: describes, lists, holds"),
  // In quotation marks it is the user of Unix.
  refuse(/\b(?:some|any)body\b|(?<!")\bnobody\b(?!")/i, "the actor: a consumer, a process, another transaction, you"),
  refuse(/\bwhoever\b/i, "the actor: the consumer that …, every login that …"),
  refuse(/\bbe it that\b/i, "including when"),
  refuse(/\b(?:is|are|was|were|be|been) found out\b/i, "detect"),
  refuse(/\b(?:say|says|said|saying) so\b/i, "the verb: declare it, set it, report it"),
  refuse(/\bof no use\b/i, "cannot help, is useless"),
  refuse(/\bin vain\b/i, "without success, or the error"),
  refuse(/\b(?:come|comes|coming|came) to nothing\b/i, "fails, has no effect"),
  refuse(/\bwhat (?:comes|came|becomes|became|will become) of\b/i, "the result; what happens to"),
];

/** Metaphors, and old names: see the glossary. */
const METAPHORS: readonly Refusal[] = [
  refuse(/\bd[o]or(?:s|bell|bells|man|men|step)?\b/i, "wake lock: acquire, release, hold"),
  refuse(/(?<!\bkey )\b(?:rings|ringing|rung|rang)\b/i, "notify, notification"),
  refuse(/\bd[e]af\b/i, "notifications unavailable"),
  refuse(/\btw[i]ns?\b/i, "duplicate"),
  refuse(/\bb[u]r(?:y|ies|ied|ying|ial)\b/i, "remove expired consumers"),
  refuse(/\bthe living\b/i, "live consumers"),
  refuse(/\bthe dead\b(?! (?:row|tuple|line))/i, "expired consumers, crashed consumers"),
  refuse(/\bdead consumers?\b/i, "crashed consumer"),
  refuse(/\bdeaths?\b/i, "crash; crash_count"),
  refuse(/\b(?:suspect|suspects|guilty)\b/i, "quarantined"),
  refuse(/\bstrays?\b/i, "unplaced tasks"),
  refuse(
    /\b(?:lined up|let in|lets in|first in line|stands? in line|waits? in line)\b/i,
    "limit queue; waiting; admit",
  ),
  refuse(/\bpatience\b/i, "timeout, retryIn, ratio"),
  refuse(/\b(?:seal|seals|sealed|sealing)\b/i, "encrypt"),
  refuse(/\blast[ -]w[o]rds\b/i, "final writes; output of the watchdog"),
  refuse(/\bunsl[o]tted\b/i, "without a slot"),
  refuse(/\bintake\b/i, "claim budget"),
  refuse(/\b(?:patient|patients|cure|cures|cured)\b/i, "target; fix"),
  refuse(/\bthe seed\b/i, "django-firefly-tasks"),
  refuse(/\blease_?id\b/i, "batchId, the id of a claim batch"),
  refuse(/\blook_at\b/i, "admit_at"),
  refuse(/\bhealth\.turns\b/, "health.responsive"),
];

const REFUSALS = [...PHRASES, ...METAPHORS];

/** Generated from migrations/*.sql, which are read themselves. */
const GENERATED = ["src/schema/migrations.ts"];

/** The one explanation of a metaphor that there may be. */
const EXPLAINED = { file: "docs/waking.md", word: "doorbell" };

/** Where a page quotes what not to write: in tables, code and quotation marks. */
const QUOTED: Readonly<Record<string, RegExp>> = { "STYLE.md": /^\|.*$|`[^`]*`|"[^"]*"/gm };
/** A line break with the mark of a comment that goes on. */
const CONTINUATION = /\n[ \t]*(?:\*(?!\/)|\/\/|--)?[ \t]*/g;

/** A phrase that was found. */
interface Finding {
  readonly line: number;
  readonly phrase: string;
  readonly instead: string;
}

/** Finds refused phrases in `text`, in their order, except where `quoted` matches. */
function findRefused(text: string, quoted = /(?!)/g): Finding[] {
  const blank = (part: string) => part.replace(/[^\n]/g, " ");
  const prose = text.replace(quoted, blank).replace(CONTINUATION, blank);
  return REFUSALS
    .flatMap(({ pattern, instead }) => Array.from(prose.matchAll(pattern), (match) => ({ match, instead })))
    .sort((a, b) => a.match.index - b.match.index)
    .map(({ match, instead }) => ({
      line: prose.slice(0, match.index).split("\n").length,
      phrase: match[0].replace(/\s+/g, " "),
      instead,
    }));
}

/** The files below `folder` whose names end with `ending`. */
function filesBelow(folder: string, ending: string): string[] {
  return Array.from(Deno.readDirSync(new URL(folder || ".", ROOT)))
    .flatMap(({ name, isDirectory }) => {
      if (isDirectory) return folder === "" ? [] : filesBelow(`${folder}${name}/`, ending);
      return name.endsWith(ending) ? [folder + name] : [];
    })
    .sort();
}

/** The files that are read, by what a test is named after: a page, or a folder of sources. */
const FILES: ReadonlyMap<string, readonly string[]> = Map.groupBy(
  [
    ...filesBelow("", ".md"),
    ...filesBelow("docs/", ".md"),
    ...filesBelow("migrations/", ".sql"),
    ...filesBelow("src/", ".ts").filter((file) => !GENERATED.includes(file)),
    "mod.ts",
    "cli.ts",
  ],
  (file) => file.endsWith(".md") ? file : file.slice(0, file.lastIndexOf("/") + 1) || file,
);

for (const [name, files] of FILES) {
  Deno.test(`${name} has no phrase that reads as a translation, and no metaphor`, async () => {
    const findings: string[] = [];
    for (const file of files) {
      let explanations = 1;
      const text = await Deno.readTextFile(new URL(file, ROOT));
      for (const { line, phrase, instead } of findRefused(text, QUOTED[file])) {
        if (file === EXPLAINED.file && phrase === EXPLAINED.word && explanations-- > 0) continue;
        findings.push(`${file}:${line}: "${phrase}": write ${instead}`);
      }
    }
    assertEquals(findings, []);
  });
}

Deno.test("findRefused() finds a phrase across the lines of a comment, with its line", () => {
  const code = ["const a = 1;", "/**", " * The event that tells", " * of a crash.", " */"].join("\n");
  const query = ["SELECT 1;", "-- Nobody is", "-- told of it."].join("\n");

  assertEquals(findRefused(code).map(({ line, phrase }) => [line, phrase]), [[3, "tells of"]]);
  assertEquals(findRefused(query).map(({ line, phrase }) => [line, phrase]), [[2, "Nobody"], [3, "told of"]]);
});

Deno.test("findRefused() skips what STYLE.md quotes, and counts its lines", () => {
  const page = ["| in vain | without success |", 'No "nobody", never `patience`.', "It was in vain."].join("\n");

  assertEquals(findRefused(page, QUOTED["STYLE.md"]).map(({ line }) => line), [3]);
});

const LEGITIMATE = [
  "It downloads about 24 MB.",
  "A task that is about to be claimed.",
  "The delay is about a second.",
  "Encrypted with a key ring; two key rings.",
  "It vacuums the dead rows of ready.",
  "The configuration tells which queues to consume.",
  "It writes to standard error, in line 3.",
  "String, ordering, between, outdoors.",
  "Claims of a live consumer.",
];
for (const text of LEGITIMATE) {
  Deno.test(`findRefused() finds nothing in "${text}"`, () => assertEquals(findRefused(text), []));
}

const FOREIGN: Readonly<Record<string, string>> = {
  "An event that tells of it.": "tells of",
  "The error is told of.": "told of",
  "Told once, until it succeeds.": "Told once",
  "Somebody holds the lock.": "Somebody",
  "The slot of whoever runs it.": "whoever",
  "It fails, be it that the server is down.": "be it that",
  "The pooler is found out.": "is found out",
  "If it is not detected, say so.": "say so",
  "Retrying is of no use.": "of no use",
  "What comes of a fault.": "What comes of",
  "A report about what it is about.": "what it is about",
  "Its statements come to nothing.": "come to nothing",
  "The patience of a lock.": "patience",
  "A dead consumer.": "dead consumer",
  "The trigger rings.": "rings",
  "Tasks that are let in.": "let in",
};
for (const [text, phrase] of Object.entries(FOREIGN)) {
  Deno.test(`findRefused() finds "${phrase}" in "${text}"`, () => {
    assertEquals(findRefused(text).map((finding) => finding.phrase), [phrase]);
  });
}

for (const page of filesBelow("docs/", ".md")) {
  Deno.test(`${page} opens with a heading and a sentence`, async () => {
    const text = await Deno.readTextFile(new URL(page, ROOT));

    assertMatch(text, /^# \S.*\n\n(?!```)[`\p{L}]/u);
  });

  Deno.test(`${page} explains the command that it shows`, async () => {
    const text = await Deno.readTextFile(new URL(page, ROOT));
    const blocks = Array.from(text.matchAll(/^```sh\n(.*?)^```/gms), ([, block]) => block!).join("");
    const lines = blocks.split("\n").map((line) => line.replace(/^\$ /, ""));
    const first = lines.find((line) => /^(?:alias firefly=|deno install .*-n firefly |firefly )/.test(line)) ?? "";

    assertEquals(first.startsWith("firefly "), false);
  });
}

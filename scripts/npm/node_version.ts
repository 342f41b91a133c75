/** The oldest Node that runs Firefly: from it on, Node takes `.ts` files without a flag. */
export const OLDEST_NODE = "22.18.0";

/** The module that refuses an older Node, which every entry imports before all others. */
export const NODE_FILE = "node.js";

/** The module that `npx firefly` runs. */
export const PROGRAM = "firefly.js";

const [MAJOR, MINOR] = OLDEST_NODE.split(".");
const WANTED = `${MAJOR}.${MINOR}`;

/** The text of {@linkcode NODE_FILE}. Deno and Bun call themselves a Node, too. */
export const NODE_CODE = `import process from "node:process";

const { node, bun, deno } = process.versions;
const [major, minor] = node.split(".").map(Number);
if (!bun && !deno && (major < ${MAJOR} || major === ${MAJOR} && minor < ${MINOR})) {
  throw new Error(\`Cannot run Firefly on Node \${node}: it needs Node ${WANTED} or newer\`);
}
`;

/** The text of {@linkcode PROGRAM}: it ends with a sentence in place of a stack where Node is too old. */
export function programCode(cli: string): string {
  return `#!/usr/bin/env node
try {
  await import("./${NODE_FILE}");
} catch (error) {
  console.error(error.message);
  process.exit(1);
}
await import("./${cli}");
`;
}

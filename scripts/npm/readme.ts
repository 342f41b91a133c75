import { pathOf } from "../pages.ts";
import type { Config } from "./config.ts";

const LINK = /(\]\()([^)\s]+)(\))/g;

/**
 * The README of the npm package: its links lead to the files of the same version on JSR, as npm's site shows no file of a
 * package and the tarball has no documentation.
 */
export function linkToJsr(markdown: string, { name, version }: Config): string {
  const parts = markdown.split(/(^```.*?^```)/ms);
  return parts.map((part, index) => {
    if (index % 2 === 1) return part; // a block of code
    return part.replace(LINK, (link, before: string, target: string, after: string) => {
      if (/^(\w+:|#)/.test(target)) return link;
      const [, anchor = ""] = target.split(/(?=#)/);
      return `${before}https://jsr.io/${name}/${version}/${pathOf("README.md", target)}${anchor}${after}`;
    });
  }).join("");
}

const UNITS: Readonly<Record<string, number>> = {
  "": 1,
  k: 1e3,
  m: 1e6,
  g: 1e9,
  ki: 2 ** 10,
  mi: 2 ** 20,
  gi: 2 ** 30,
};

/** Parses a number of bytes, or text such as `512MB`, `1.5GiB` or `800Mi`; undefined if it is neither, or 0. */
export function parseBytes(size: string | number): number | undefined {
  const [, number, unit = ""] = /^(\d+(?:\.\d+)?)\s*((?:[kmg]i?)?)b?$/i.exec(String(size).trim()) ?? [];
  return number === undefined ? undefined : Math.round(Number(number) * UNITS[unit.toLowerCase()]!) || undefined;
}

/** Formats a number of bytes: `340 MB`, `1.2 GB`. */
export function formatBytes(bytes: number): string {
  return bytes < 1e9 ? `${Math.round(bytes / 1e6)} MB` : `${(bytes / 1e9).toFixed(1)} GB`;
}

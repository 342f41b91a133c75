import type { Group, Grouped, Link } from "./groups.ts";

/** The size of a box, and the space between boxes. */
export const BOX = { width: 236, height: 50 };
const GAP = { x: 64, y: 16 };
/** The space around the picture, and the height of a line that passes a layer. */
const [MARGIN, PASS] = [8, 14];

/** A point on the way of a line, or the place of a box. */
interface Spot {
  readonly layer: number;
  readonly group: Group | undefined;
  /** Its order within its layer, and its middle. */
  order: number;
  y: number;
}

/** A box with its place. */
export interface PlacedBox {
  readonly group: Group;
  readonly x: number;
  readonly y: number;
}

/** A line with the points that it passes, from the right side of a box to the left side of another. */
export interface PlacedLine {
  readonly link: Link;
  readonly points: readonly (readonly [x: number, y: number])[];
}

/** A picture of a graph. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly boxes: readonly PlacedBox[];
  readonly lines: readonly PlacedLine[];
}

/**
 * Places boxes in columns by their layers. A line that passes layers has a point of its own in each, which lines to the
 * same box share, so that no line runs behind a box. Within a layer, what belongs together stands together.
 */
export function placeGroups({ groups, links }: Grouped): Picture {
  const first = Math.min(...groups.map(({ layer }) => layer));
  const spots = new Map(groups.map((group): [Group, Spot] => [group, {
    layer: group.layer - first,
    group,
    order: 0,
    y: 0,
  }]));
  const columns: Spot[][] = Array.from({ length: 1 + Math.max(...spots.values().map(({ layer }) => layer)) }, () => []);
  for (const spot of spots.values()) columns[spot.layer]!.push(spot);
  const passes = new Map<Spot, Map<number, Spot>>();
  const ways = links.map((link) => ({ link, spots: wayOf(link, { spots, columns, passes }) }));
  sort(columns, ways.map(({ spots }) => spots));
  const height = place(columns);
  return {
    width: 2 * MARGIN + columns.length * BOX.width + (columns.length - 1) * GAP.x,
    height,
    boxes: groups.map((group) => {
      const { layer, y } = spots.get(group)!;
      return { group, x: leftOf(layer), y: y - BOX.height / 2 };
    }),
    lines: ways.map(({ link, spots }) => ({ link, points: pointsOf(spots) })),
  };
}

function leftOf(layer: number): number {
  return MARGIN + layer * (BOX.width + GAP.x);
}

/** What is placed so far: `passes` has the spots of lines between boxes, by the box that they lead to and by layer. */
interface Placing {
  readonly spots: ReadonlyMap<Group, Spot>;
  readonly columns: readonly Spot[][];
  readonly passes: Map<Spot, Map<number, Spot>>;
}

/** The spots of a line; those between its boxes are made, unless another line to the same box passes there. */
function wayOf({ from, to }: Link, { spots, columns, passes }: Placing): Spot[] {
  const [start, end] = [spots.get(from)!, spots.get(to)!];
  const shared = passes.get(end) ?? new Map<number, Spot>();
  passes.set(end, shared);
  const between: Spot[] = [];
  for (let layer = start.layer + 1; layer < end.layer; layer++) {
    let spot = shared.get(layer);
    if (!spot) {
      spot = { layer, group: undefined, order: 0, y: 0 };
      shared.set(layer, spot);
      columns[layer]!.push(spot);
    }
    between.push(spot);
  }
  return [start, ...between, end];
}

/** Sorts each column by the middle of what its spots lead to, from the left, from the right, and again. */
function sort(columns: readonly Spot[][], ways: readonly (readonly Spot[])[]): void {
  const before = new Map<Spot, Spot[]>();
  const after = new Map<Spot, Spot[]>();
  for (const way of ways) {
    for (const [index, spot] of way.entries()) {
      const next = way[index + 1];
      if (!next) continue;
      after.set(spot, [...after.get(spot) ?? [], next]);
      before.set(next, [...before.get(next) ?? [], spot]);
    }
  }
  const number = (column: readonly Spot[]) => {
    const middle = (column.length - 1) / 2;
    for (const [index, spot] of column.entries()) spot.order = index - middle;
  };
  columns.forEach(number);
  for (const [all, beside] of [[columns, before], [columns.toReversed(), after], [columns, before]] as const) {
    for (const column of all) {
      const means = new Map(column.map((spot) => {
        const near = beside.get(spot) ?? [];
        return [spot, near.length === 0 ? spot.order : near.reduce((sum, { order }) => sum + order, 0) / near.length];
      }));
      column.sort((a, b) => means.get(a)! - means.get(b)!);
      number(column);
    }
  }
}

/** Gives each spot its height, columns in the middle. Returns the height of the picture. */
function place(columns: readonly (readonly Spot[])[]): number {
  const heightOf = ({ group }: Spot) => group ? BOX.height : PASS;
  const heights = columns.map((column) =>
    column.reduce((sum, spot) => sum + heightOf(spot), (column.length - 1) * GAP.y)
  );
  const highest = Math.max(...heights);
  for (const [index, column] of columns.entries()) {
    let y = MARGIN + (highest - heights[index]!) / 2;
    for (const spot of column) {
      spot.y = y + heightOf(spot) / 2;
      y += heightOf(spot) + GAP.y;
    }
  }
  return highest + 2 * MARGIN;
}

/** The points of a line: it passes a layer straight. A line back to an earlier layer, of a circle, has its ends alone. */
function pointsOf(way: readonly Spot[]): [number, number][] {
  return way.flatMap((spot, index): [number, number][] => {
    const [left, right] = [leftOf(spot.layer), leftOf(spot.layer) + BOX.width];
    if (index === 0) return [[right, spot.y]];
    return index === way.length - 1 ? [[left, spot.y]] : [[left, spot.y], [right, spot.y]];
  });
}

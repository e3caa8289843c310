// Question: how do the rooms of src stand on one another?
//
// Drawn from what the files import, as docs/rooms.svg: an arrow goes from a room to one that it imports from.
// Arrows that follow from others are left out, and a room stands as high as those that need it allow. The ground,
// which any room may use, is drawn below all of them without arrows.
// Run: npm run docs (a test fails when the drawing is not what the imports say)

import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { root } from "./public-exports.ts";

export const drawing = "docs/rooms.svg";

/** What each room answers, in one line of the drawing. */
const about: Readonly<Record<string, string>> = {
  basics: "small things that any room may use",
  files: "how is a file written so that nothing is lost?",
  graph: "what is a tensor, an operation, a segment?",
  ops: "one file an operation: shapes, gradient, formula",
  runtime: "how does a graph become a program and run?",
  connections: "how do layers pass information on?",
  data: "corpora, tokens, batches",
  model: "the transformer, and how it writes",
  stability: "what is measured of a model?",
  training: "the loop: optimizer, schedule, step, alarms",
  runs: "the run folder: checkpoints, records, sweeps",
  interop: "files and tools of others",
  evaluation: "which questions does a model answer?",
  study: "what can a trained model tell?",
  planning: "what will training take?",
  report: "charts and pages",
  studies: "experiments, and pages about them",
  serving: "answers to clients",
  cli: "one file a command",
};

/** What stands under all rooms. */
const GROUND = "basics";

type Imports = ReadonlyMap<string, ReadonlySet<string>>;

/** The rooms, and the rooms that each imports from. */
function importsOfRooms(): Imports {
  const source = path.join(root, "src");
  const rooms = new Map<string, Set<string>>();
  for (const file of readdirSync(source, { recursive: true, encoding: "utf8" })) {
    if (!file.endsWith(".ts") || !file.includes("/")) continue;
    const room = file.split("/")[0]!;
    if (room === GROUND) continue;
    const imported = rooms.get(room) ?? new Set<string>();
    rooms.set(room, imported);
    const text = readFileSync(path.join(source, file), "utf8");
    for (const [, target = ""] of text.matchAll(/^(?:import|export)\b[^;]*?from\s*"(\.[^"]+)"/gm)) {
      const other = path.posix.join(path.posix.dirname(file), target).split("/")[0]!;
      if (other !== room && other !== GROUND) imported.add(other);
    }
  }
  return rooms;
}

/** Without the arrows that follow from others. */
function reduced(rooms: Imports): Map<string, string[]> {
  const reach = (room: string): Set<string> =>
    new Set([...rooms.get(room)!].flatMap((other) => [other, ...reach(other)]));
  return new Map(
    [...rooms].map(([room, imported]) => {
      const through = new Set([...imported].flatMap((other) => [...reach(other)]));
      return [room, [...imported].filter((other) => !through.has(other)).sort()];
    }),
  );
}

/** Floors from the top: a room stands just below the lowest of those that import it. */
function floorsOf(arrows: ReadonlyMap<string, readonly string[]>): string[][] {
  const floor = (room: string): number => {
    const above = [...arrows].flatMap(([other, imported]) => (imported.includes(room) ? [floor(other)] : []));
    return above.length === 0 ? 0 : 1 + Math.max(...above);
  };
  const floors: string[][] = [];
  for (const room of [...arrows.keys()].sort()) (floors[floor(room)] ??= []).push(room);
  return floors;
}

const [WIDTH, HEIGHT, ACROSS, DOWN, MARGIN] = [304, 46, 20, 28, 12];

/** The drawing, as SVG for light and dark pages. */
export function drawRooms(): string {
  const arrows = reduced(importsOfRooms());
  const floors = floorsOf(arrows);
  const width = 2 * MARGIN + Math.max(...floors.map((rooms) => rooms.length * (WIDTH + ACROSS) - ACROSS));
  const bottom = MARGIN + floors.length * (HEIGHT + DOWN);
  const height = bottom + HEIGHT + MARGIN;
  const places = new Map<string, { x: number; y: number }>();
  for (const [floor, rooms] of floors.entries()) {
    // Rooms stand below those that import them.
    const wanted = (room: string): number => {
      const above = [...arrows].flatMap(([other, imported]) =>
        imported.includes(room) && places.has(other) ? [places.get(other)!.x] : [],
      );
      return above.length === 0 ? 0 : above.reduce((sum, x) => sum + x, 0) / above.length;
    };
    const row = [...rooms].sort((a, b) => wanted(a) - wanted(b));
    const left = (width - (row.length * (WIDTH + ACROSS) - ACROSS)) / 2;
    for (const [index, room] of row.entries())
      places.set(room, { x: left + index * (WIDTH + ACROSS), y: MARGIN + floor * (HEIGHT + DOWN) });
  }
  const lines = [...arrows].flatMap(([room, imported]) => {
    const from = places.get(room)!;
    return imported.map((other) => {
      const to = places.get(other)!;
      const [x1, y1, x2, y2] = [from.x + WIDTH / 2, from.y + HEIGHT, to.x + WIDTH / 2, to.y - 3];
      return `<path class="arrow" marker-end="url(#tip)" d="M${x1} ${y1} C${x1} ${y1 + 18} ${x2} ${y2 - 18} ${x2} ${y2}"/>`;
    });
  });
  const box = (room: string, x: number, y: number, across: number): string => {
    const text = about[room];
    if (!text) throw new Error(`draw-rooms: the room ${room} has no line in the table of scripts/draw-rooms.ts.`);
    const middle = x + across / 2;
    return [
      `<rect class="room" x="${x}" y="${y}" width="${across}" height="${HEIGHT}" rx="6"/>`,
      `<text class="name" x="${middle}" y="${y + 19}">${room}</text>`,
      `<text class="about" x="${middle}" y="${y + 36}">${text}</text>`,
    ].join("\n");
  };
  const boxes = [...places].map(([room, { x, y }]) => box(room, x, y, WIDTH));
  boxes.push(box(GROUND, MARGIN, bottom, width - 2 * MARGIN));
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="The rooms of src and what they import">
<style>
svg { background: #fff }
text { font: 12px system-ui, sans-serif; fill: #24292f; text-anchor: middle }
.name { font-weight: 700; font-size: 14px }
.room { fill: #eef3fb; stroke: #2e6fdb }
.arrow { fill: none; stroke: #6b7787; stroke-width: 1.3 }
#tip path { fill: #6b7787 }
@media (prefers-color-scheme: dark) {
  svg { background: #0d1117 }
  text { fill: #e6edf3 }
  .room { fill: #14233c; stroke: #6ea0f0 }
}
</style>
<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8z"/></marker></defs>
${[...lines, ...boxes].join("\n")}
</svg>
`;
}

if (import.meta.main) writeFileSync(path.join(root, drawing), drawRooms());

// Question: How many lines has each room of src?
//
// Part of `npm run check`. The number may grow with a reason; it fails nothing. Blank lines count, and so do comments.

import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { sum } from "../src/basics/numbers.ts";
import { showCount } from "../src/basics/show.ts";
import { drawTable } from "../src/basics/table.ts";
import { root } from "./public-exports.ts";

const source = path.join(root, "src");
const entries = "(public entries)";

/** Lines of each file, by its room. */
function linesByRoom(): Map<string, number[]> {
  const rooms = new Map<string, number[]>();
  for (const file of readdirSync(source, { recursive: true, encoding: "utf8" })) {
    if (!file.endsWith(".ts")) continue;
    const [first = "", second] = file.split(path.sep);
    const room = second === undefined ? entries : first;
    const lines = readFileSync(path.join(source, file), "utf8").split("\n").length - 1;
    rooms.set(room, [...(rooms.get(room) ?? []), lines]);
  }
  return rooms;
}

const rooms = [...linesByRoom()].sort(([, a], [, b]) => sum(b) - sum(a));
const row = (name: string, lines: readonly number[]): string[] => [
  name,
  showCount(lines.length),
  showCount(sum(lines)),
  showCount(Math.max(...lines)),
];
const all = rooms.flatMap(([, lines]) => lines);
process.stdout.write(
  `${drawTable([["room", "files", "lines", "longest"], ...rooms.map(([name, lines]) => row(name, lines)), row("src", all)])}\n`,
);

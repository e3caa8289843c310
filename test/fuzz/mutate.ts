// Question: how is a sound file made into one that nobody expects, the same one for the same number?
//
// Some changes keep it JSON: a value becomes another, a field goes, gets a name of JavaScript or is repeated. Others
// do not: bytes change, go or come.

import { streams, uniformInteger } from "../../src/data/random.ts";
import { isObject, setOwn } from "../../src/basics/objects.ts";

/** Draws whole numbers from 0 to below a bound, the same ones for the same number of the case. */
export type Draw = (bound: number) => number;

export function drawsOf(number: number): Draw {
  let count = 0;
  return (bound) => uniformInteger(number, streams.studies, count++, bound);
}

const pick = <T>(draw: Draw, list: readonly T[]): T => list[draw(list.length)]!;

const names = ["__proto__", "constructor", "toString", "hasOwnProperty", "valueOf", "prototype", "", "a.b", "é\u0000"];

const deep = (levels: number): unknown => {
  let value: unknown = 1;
  for (let level = 0; level < levels; level++) value = level % 2 === 0 ? [value] : { a: value };
  return value;
};

const values: readonly ((draw: Draw) => unknown)[] = [
  () => null,
  () => true,
  () => "",
  () => "NaN",
  () => "-Infinity",
  () => [],
  () => ({}),
  (draw) => pick(draw, names),
  (draw) => pick(draw, [0, -1, 0.5, 1e9, 1e15, 2 ** 31, 2 ** 32, 2 ** 53, 1e308, -1e308, 5e-324, 4294967290]),
  (draw) => "x".repeat(draw(3000)),
  (draw) => deep(draw(3000)),
  (draw) => Array.from({ length: draw(200) }, (_, at) => at),
  () => [null, { step: 1 }, "a"],
  () => JSON.parse('{"__proto__": {"polluted": 1}, "constructor": 1}') as unknown,
];

/** Every place in a value: the object or list, and the key in it. */
function placesIn(value: unknown): [object, string][] {
  const found: [object, string][] = [];
  const left: unknown[] = [value];
  for (let at = left.pop(); at !== undefined && found.length < 20_000; at = left.pop()) {
    for (const [key, inner] of typeof at === "object" && at !== null ? Object.entries(at) : []) {
      found.push([at as object, key]);
      left.push(inner ?? null);
    }
  }
  return found;
}

/** A changed copy of a value; sometimes of its places one, sometimes several. */
export function mutateValue(draw: Draw, sound: unknown): unknown {
  const root = { value: structuredClone(sound) };
  for (let changes = 1 + draw(3); changes > 0; changes--) {
    const [holder, key] = pick(draw, placesIn(root));
    const what = draw(10);
    if (what < 6) setOwn(holder, key, pick(draw, values)(draw));
    else if (what < 8 && isObject(holder) && holder !== root) {
      const value = holder[key];
      if (what === 6) delete holder[key];
      setOwn(holder, pick(draw, names), value);
    } else if (isObject(holder) && holder !== root) delete holder[key];
    else if (Array.isArray(holder)) holder.splice(Number(key), 1);
  }
  return root.value;
}

/** Changed bytes of a text. */
export function mutateBytes(draw: Draw, sound: Uint8Array): Uint8Array {
  const bytes = [...sound];
  for (let changes = 1 + draw(4); changes > 0; changes--) {
    const at = draw(Math.max(1, bytes.length));
    const what = draw(5);
    if (what === 0) bytes.splice(at);
    else if (what === 1) bytes[at] = draw(256);
    else if (what === 2) bytes.splice(at, 1 + draw(40));
    else if (what === 3) bytes.splice(at, 0, ...bytes.slice(at, at + draw(60)));
    else
      bytes.splice(at, 0, ...Buffer.from(pick(draw, ['{"', "[[[[", "null", "\n", ",", '"__proto__":', "1e999", "-"])));
  }
  return Uint8Array.from(bytes);
}

/** A changed JSON text: mostly still JSON. */
export function mutateJson(draw: Draw, text: string): string {
  if (draw(4) === 0) return Buffer.from(mutateBytes(draw, Buffer.from(text))).toString("utf8");
  return JSON.stringify(mutateValue(draw, JSON.parse(text))) ?? "";
}

/** A changed file of records, one per line. */
export function mutateLines(draw: Draw, text: string): string {
  const lines = text.split("\n");
  // Each at most once: a changed line need not be JSON.
  const changed = new Set(Array.from({ length: 1 + draw(4) }, () => draw(lines.length)));
  for (const at of changed) if (lines[at]) lines[at] = mutateJson(draw, lines[at]);
  return lines.join("\n");
}

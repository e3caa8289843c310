// Question: which task asks whether a walk returns to its start?
//
//   bbh_navigate   as in BIG-Bench Hard. One form faces forward and steps to four sides; in the other one turns.
//
// Half of the walks are made to return: their last steps undo the others, and are put among them where the order of steps
// does not matter.

import type { Draw } from "./draw.ts";
import { type GeneratedTask, partsOf } from "./task.ts";

type Place = readonly [right: number, forward: number];

const sides: Readonly<Record<string, Place>> = {
  forward: [0, 1],
  backward: [0, -1],
  left: [-1, 0],
  right: [1, 0],
};
const MOST_STEPS = 10;

const turns: Readonly<Record<string, (facing: Place) => Place>> = {
  left: ([x, y]) => [-y, x],
  right: ([x, y]) => [y, -x],
  around: ([x, y]) => [-x, -y],
};

/** Where a walk ends and where it faces. */
function walk(instructions: readonly string[]): { readonly place: Place; readonly facing: Place } {
  let [place, facing]: [Place, Place] = [
    [0, 0],
    [0, 1],
  ];
  for (const instruction of instructions) {
    const [, turn] = /^Turn (\w+)$/.exec(instruction) ?? [];
    if (turn !== undefined) facing = turns[turn]!(facing);
    const [, steps, side] = /^Take (\d+) steps?(?: (\w+))?$/.exec(instruction) ?? [];
    if (steps === undefined) continue;
    const [right, forward] = side === undefined ? facing : sides[side]!;
    place = [place[0] + Number(steps) * right, place[1] + Number(steps) * forward];
  }
  return { place, facing };
}

const steps = (count: number, side?: string): string =>
  `Take ${count} step${count === 1 ? "" : "s"}${side === undefined ? "" : ` ${side}`}`;

/** The distance along an axis to the start, and the way there; undefined where one step does not lead back. */
function wayBack([x, y]: Place): { readonly distance: number; readonly way: Place } | undefined {
  const distance = Math.abs(x) + Math.abs(y);
  if ((x !== 0 && y !== 0) || distance === 0 || distance > MOST_STEPS) return undefined;
  return { distance, way: [-Math.sign(x), -Math.sign(y)] };
}

const same = (a: Place, b: Place): boolean => a[0] === b[0] && a[1] === b[1];

/** One way of making a walk; undefined where the draws did not lead back though they were to. */
function facingForward(draw: Draw, length: number, returns: boolean): string[] | undefined {
  const random = (): string => steps(draw.between(1, MOST_STEPS), draw.one(Object.keys(sides)));
  if (!returns) return Array.from({ length }, random);
  const begun = Array.from({ length: length - 1 }, random);
  const back = wayBack(walk(begun).place);
  const side = back && Object.entries(sides).find(([, way]) => same(way, back.way))![0];
  return back && draw.shuffled([...begun, steps(back.distance, side)]);
}

function turning(draw: Draw, length: number, returns: boolean): string[] | undefined {
  const random = (): string =>
    draw.happens(0.7) ? steps(draw.between(1, MOST_STEPS)) : `Turn ${draw.one(Object.keys(turns))}`;
  if (!returns) return Array.from({ length }, random);
  const begun = Array.from({ length: length - 2 }, random);
  const { place, facing } = walk(begun);
  const back = wayBack(place);
  const turn = back && Object.entries(turns).find(([, turned]) => same(turned(facing), back.way));
  return turn && [...begun, `Turn ${turn[0]}`, steps(back.distance)];
}

const question = "If you follow these instructions, do you return to the starting point? ";

export const navigate: GeneratedTask = {
  about: "whether a walk returns to its start",
  difficulty: { counts: "instructions", from: 3, to: 9 },
  make(draw, length) {
    const [form, opening] = draw.one([
      [facingForward, "Always face forward. "],
      [turning, ""],
    ] as const);
    const returns = draw.happens(0.5);
    let instructions: string[] | undefined;
    while (!instructions) instructions = form(draw, length, returns);
    return `${question}${opening}${instructions.join(". ")}.\nOptions:\n- Yes\n- No`;
  },
  solve(text) {
    const [told] = partsOf("bbh_navigate", text, /return to the starting point\? (.*)\.\nOptions/);
    const instructions = told!.split(". ");
    return same(walk(instructions).place, [0, 0]) ? "Yes" : "No";
  },
};

// Question: which tasks ask for an order that some statements leave no choice about?
//
//   bbh_logical_deduction_{three,five,seven}_objects   as in BIG-Bench Hard
//
// Each statement gives a thing's place or says which of two things comes first. The solver tries all orders, 7! at most.
// A question of n things has n - 1 statements; its difficulty is how many of them only compare two things.

import type { Draw } from "./draw.ts";
import {
  type GeneratedTask,
  listed,
  notOfGrammar,
  numberWords,
  optionLines,
  optionName,
  optionsOf,
  partsOf,
} from "./task.ts";

interface Scene {
  /** Before the list of things; N stands for their number. */
  readonly opening: string;
  readonly things: readonly string[];
  /** Between a thing and what is said of it. */
  readonly verb: string;
  /** Of a thing that comes before or after another. */
  readonly compare: readonly [before: string, after: string];
  /** Of a thing at a place, counted from the first or from the last. */
  places(ordinal: string): readonly [fromFirst: string, fromLast: string];
  readonly ends: readonly [first: string, last: string];
  /** Whether things are named "the blue jay". */
  readonly article: boolean;
}

const room: Omit<Scene, "opening" | "things"> = {
  verb: "is",
  compare: ["to the left of", "to the right of"],
  places: (ordinal) => [`the ${ordinal} from the left`, `the ${ordinal} from the right`],
  ends: ["the leftmost", "the rightmost"],
  article: true,
};

const scenes: readonly Scene[] = [
  {
    ...room,
    opening: "On a branch, there are N birds",
    things: ["blue jay", "cardinal", "crow", "falcon", "hawk", "hummingbird", "owl", "quail", "raven", "robin"],
  },
  {
    ...room,
    opening: "On a shelf, there are N books",
    things: "black blue brown gray green orange purple red white yellow".split(" ").map((color) => `${color} book`),
  },
  {
    opening: "In an antique car show, there are N vehicles",
    // The misspelling is BIG-Bench Hard's.
    things: "bus,convertible,hatchback,limousine,minivan,motorcyle,sedan,station wagon,tractor,truck".split(","),
    verb: "is",
    compare: ["newer than", "older than"],
    places: (ordinal) => [`the ${ordinal}-newest`, `the ${ordinal}-oldest`],
    ends: ["the newest", "the oldest"],
    article: true,
  },
  {
    opening: "A fruit stand sells N fruits",
    things: "apples cantaloupes kiwis loquats mangoes oranges peaches pears plums watermelons".split(" "),
    verb: "are",
    compare: ["more expensive than", "less expensive than"],
    places: (ordinal) => [`the ${ordinal}-most expensive`, `the ${ordinal}-cheapest`],
    ends: ["the most expensive", "the cheapest"],
    article: true,
  },
  {
    opening: "In a golf tournament, there were N golfers",
    things: "Ada Amy Ana Dan Eli Eve Joe Mel Mya Rob".split(" "),
    verb: "finished",
    compare: ["above", "below"],
    places: (ordinal) => [ordinal, `${ordinal}-to-last`],
    ends: ["first", "last"],
    article: false,
  },
];

const ordinals = ["first", "second", "third", "fourth"];

/** What is said of a thing at `place` of `size`. */
function placeText({ ends, places }: Scene, place: number, size: number): string {
  const fromLast = size - 1 - place;
  if (place === 0) return ends[0];
  if (fromLast === 0) return ends[1];
  return place <= fromLast ? places(ordinals[place]!)[0] : places(ordinals[fromLast]!)[1];
}

/** Whether a statement holds when thing i is at place `placeOf[i]`. */
type Holds = (placeOf: ArrayLike<number>) => boolean;

const lower = (thing: string): string => thing.replace(/^[Tt]he /, "");

/** What a statement of the scene says; undefined for another text. */
function holdsOf(scene: Scene, things: readonly string[], statement: string): Holds | undefined {
  const [, subject = "", said = ""] = new RegExp(`^(.+?) ${scene.verb} (.+)$`).exec(statement) ?? [];
  const thing = things.indexOf(lower(subject));
  if (thing < 0) return undefined;
  for (const [side, compare] of scene.compare.entries()) {
    if (!said.startsWith(`${compare} `)) continue;
    const other = things.indexOf(lower(said.slice(compare.length + 1)));
    if (other < 0) return undefined;
    return side === 0 ? (placeOf) => placeOf[thing]! < placeOf[other]! : (placeOf) => placeOf[thing]! > placeOf[other]!;
  }
  const last = things.length - 1;
  const place = things.findIndex((_, at) =>
    [
      placeText(scene, at, things.length),
      scene.places(ordinals[at] ?? "")[0],
      scene.places(ordinals[last - at] ?? "")[1],
    ].includes(said),
  );
  return place < 0 ? undefined : (placeOf) => placeOf[thing] === place;
}

const known = new Map<number, readonly Uint8Array[]>();

/** All orders of some things: of each, the place of every thing. */
function ordersOf(size: number): readonly Uint8Array[] {
  let orders = known.get(size);
  if (!orders) known.set(size, (orders = makeOrders(size)));
  return orders;
}

function makeOrders(size: number): Uint8Array[] {
  if (size === 0) return [new Uint8Array()];
  return makeOrders(size - 1).flatMap((order) =>
    // The last thing comes to any place, and those from there on move up.
    Array.from({ length: size }, (_, at) =>
      Uint8Array.from([...order].map((place) => (place < at ? place : place + 1)).concat(at)),
    ),
  );
}

/** The orders that all statements allow, `most` at most. */
function allowed(size: number, statements: readonly Holds[], most: number): Uint8Array[] {
  const found: Uint8Array[] = [];
  for (const order of ordersOf(size)) {
    if (statements.every((holds) => holds(order))) found.push(order);
    if (found.length === most) break;
  }
  return found;
}

const opening = (size: number): string =>
  `The following paragraphs each describe a set of ${numberWords[size]} objects arranged in a fixed order. ` +
  "The statements are logically consistent within each paragraph. ";

function solve(question: string): string {
  const pattern = /within each paragraph\. (.+?): (.+?)\. (.+)\.\nOptions:/;
  const [head, list, told] = partsOf("logical deduction", question, pattern) as [string, string, string];
  const scene = scenes.find(({ opening: begins }) => new RegExp(`^${begins.replace("N", "\\w+")}$`).test(head));
  const things = list.split(/, (?:and )?/).map((item) => item.replace(/^an? /, ""));
  const wrong = (): never => notOfGrammar("logical deduction", question);
  if (!scene) return wrong();
  const read = (statement: string): Holds => holdsOf(scene, things, statement) ?? wrong();
  const fitting = allowed(things.length, told.split(". ").map(read), Infinity);
  const options = optionsOf(question).map(read);
  const right = options.findIndex((holds) => fitting.every(holds));
  return fitting.length > 0 && right >= 0 ? optionName(right) : wrong();
}

function make(draw: Draw, size: number, comparing: number): string {
  const scene = draw.one(scenes);
  const line = draw.some(scene.things, size);
  const the = (thing: string): string => (scene.article ? `the ${thing}` : thing);
  const said = (place: number, text: string): string => {
    const subject = the(line[place]!);
    return `${subject[0]!.toUpperCase()}${subject.slice(1)} ${scene.verb} ${text}`;
  };
  /** One of two places before the other, told from either side. */
  const compared = (a: number, b: number): string => {
    const [first, second] = draw.shuffled([a, b]) as [number, number];
    return said(first, `${scene.compare[first < second ? 0 : 1]} ${the(line[second]!)}`);
  };
  const placed = (place: number): string => said(place, placeText(scene, place, size));
  // Some things' places are given; of the others each is compared with the next one.
  const places = line.map((_, place) => place);
  const free = draw.some(places, comparing + 1).sort((a, b) => a - b);
  const given = places.filter((place) => !free.includes(place)).map(placed);
  const statements = free.slice(1).map((place, index) => compared(free[index]!, place));
  const hold = (some: readonly string[]): Holds[] => some.map((statement) => holdsOf(scene, line, statement)!);
  const isUnique = (some: readonly string[]): boolean => allowed(size, hold([...given, ...some]), 2).length === 1;
  // A comparison with any other thing takes the place of one of these, where the order stays without choice.
  for (const [index, place] of free.slice(1).entries()) {
    const other = draw.one(places.filter((each) => each !== place));
    const changed = statements.with(index, compared(place, other));
    if (isUnique(changed)) statements[index] = changed[index]!;
  }
  const named = draw.shuffled(line);
  const asked = draw.below(size);
  const an = (thing: string): string => `${/^[aeiou]/.test(thing) ? "an" : "a"} ${thing}`;
  const list = scene.article && scene.verb === "is" ? named.map(an) : named;
  const options = named.map((thing) => said(line.indexOf(thing), placeText(scene, asked, size)));
  return (
    `${opening(size)}${scene.opening.replace("N", numberWords[size]!)}: ${listed(list)}. ` +
    `${draw.shuffled([...given, ...statements]).join(". ")}.\nOptions:\n${optionLines(options)}`
  );
}

/** The task with `size` things. */
export const deduction = (size: 3 | 5 | 7): GeneratedTask => ({
  about: `the order of ${numberWords[size]} things from statements about places and pairs`,
  difficulty: { counts: "comparing statements", from: 1, to: size - 1 },
  make: (draw, comparing) => make(draw, size, comparing),
  solve,
});

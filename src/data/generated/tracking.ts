// Question: which tasks ask who holds what after some exchanges?
//
//   bbh_tracking_shuffled_objects_{three,five,seven}_objects   as in BIG-Bench Hard, where as many exchanges are made
//                                                              as there are people
//
// It is the composition of transpositions, told as a story.

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

const people = "Alice Bob Claire Dave Eve Fred Gertrude".split(" ");

interface Story {
  readonly opening: string;
  /** What each person does with a thing. */
  readonly holds: string;
  readonly told: string;
  readonly exchange: string;
  readonly end: string;
  readonly things: readonly string[];
}

const colors = "black blue brown green orange pink purple red white yellow".split(" ");

const stories: readonly Story[] = [
  {
    opening:
      "are friends and avid readers who occasionally trade books. At the start of the semester, they each buy one new book",
    holds: "gets",
    told: "As the semester proceeds, they start trading around the new books.",
    exchange: "swap books",
    end: "At the end of the semester, NAME has",
    things: [
      "Catch-22",
      "Frankenstein",
      "Hound of the Baskervilles",
      "Lolita",
      "Moby Dick",
      "The Fellowship of the Ring",
      "The Great Gatsby",
      "The Odyssey",
      "The Pearl",
      "Ulysses",
    ],
  },
  {
    opening: "are dancers at a square dance. At the start of a song, they each have a partner",
    holds: "is dancing with",
    told: "Throughout the song, the dancers often trade partners.",
    exchange: "switch partners",
    end: "At the end of the dance, NAME is dancing with",
    things: "Helga Izzi Jamie Karl Lola Melissa Ophelia Patrick Rodrigo Sam".split(" "),
  },
  {
    opening: "are playing a game. At the start of the game, they are each holding a ball",
    holds: "has a",
    told: "As the game progresses, pairs of players trade balls.",
    exchange: "swap balls",
    end: "At the end of the game, NAME has the",
    things: colors.map((color) => `${color} ball`),
  },
  {
    opening:
      "are holding a white elephant gift exchange. At the start of the event, they are each holding a present of a different color",
    holds: "has a",
    told: "As the event progresses, pairs of people swap gifts.",
    exchange: "swap their gifts",
    end: "At the end of the event, NAME has the",
    things: colors.map((color) => `${color} ${/^(black|orange|pink)$/.test(color) ? "ball" : "present"}`),
  },
  {
    opening: "are on the same team in a soccer match. At the start of the match, they are each assigned to a position",
    holds: "is playing",
    told: "As the game progresses, pairs of players occasionally swap positions.",
    exchange: "trade positions",
    end: "At the end of the match, NAME is playing",
    things: [
      "benchwarmer",
      "center midfielder",
      "cheerleader",
      "fullback",
      "goalkeeper",
      "left midfielder",
      "left winger",
      "right midfielder",
      "right winger",
      "striker",
    ],
  },
];

function solve(question: string): string {
  const parts = partsOf(
    "tracking",
    question,
    /^(.*?) are [^:]*: (.*)\.\n(.*) At the end of the \w+, (\w+) .*\nOptions:/,
  );
  const [names, start, told, asked] = parts as [string, string, string, string];
  const options = optionsOf(question);
  const clauses = start.split(/, (?:and )?/);
  // Whose thing ends a clause; of several that do, the longest.
  const held = new Map(
    names.split(/, (?:and )?/).map((name) => {
      const clause = clauses.find((each) => each.startsWith(`${name} `)) ?? notOfGrammar("tracking", question);
      const fitting = options.filter((option) => clause.endsWith(` ${option}`)).sort((a, b) => b.length - a.length);
      return [name, fitting[0] ?? notOfGrammar("tracking", question)];
    }),
  );
  for (const [, a, b] of told.matchAll(/(?:First|Then|Finally), (\w+) and (\w+) /g)) {
    const [ofA, ofB] = [held.get(a!)!, held.get(b!)!];
    held.set(a!, ofB).set(b!, ofA);
  }
  return optionName(options.indexOf(held.get(asked) ?? notOfGrammar("tracking", question)));
}

function make(draw: Draw, size: number, exchanges: number): string {
  const { opening, holds, told, exchange, end, things } = draw.one(stories);
  const names = people.slice(0, size);
  const held = draw.some(things, size);
  const start = listed(names.map((name, index) => `${name} ${holds} ${held[index]}`));
  const swaps = Array.from({ length: exchanges }, (_, index) => {
    const word = index === 0 ? "First" : index === exchanges - 1 ? "Finally" : "Then";
    return `${word}, ${draw.some(names, 2).join(" and ")} ${exchange}.`;
  });
  return (
    `${listed(names)} ${opening}: ${start}.\n${told} ${swaps.join(" ")} ` +
    `${end.replace("NAME", draw.one(names))}\nOptions:\n${optionLines(held)}`
  );
}

/** The task with `size` people. */
export const tracking = (size: 3 | 5 | 7): GeneratedTask => ({
  about: `who of ${numberWords[size]} people holds what after some exchanges`,
  difficulty: { counts: "exchanges", from: 1, to: size },
  make: (draw, exchanges) => make(draw, size, exchanges),
  solve,
});

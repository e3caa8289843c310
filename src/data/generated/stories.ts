// Question: which tasks tell a little story?
//
//   bbh_web_of_lies          who tells the truth, when each speaks of the one before    as in BIG-Bench Hard, five people
//   bbh_temporal_sequences   when somebody was free                                     three to five sightings
//   bbh_object_counting      how many things of a kind there are                        two to twelve things

import { sum } from "../../basics/numbers.ts";
import {
  type GeneratedTask,
  listed,
  notOfGrammar,
  numberWords,
  optionLines,
  optionName,
  optionsOf,
  partsOf,
  unlisted,
} from "./task.ts";
import { activities, destinations, kinds, liars, singulars, witnesses } from "./words.ts";

export const webOfLies: GeneratedTask = {
  about: "whether the last of several people, each of whom speaks of the one before, tells the truth",
  difficulty: { counts: "people", from: 2, to: 7 },
  make(draw, count) {
    const names = draw.some(liars, count);
    const does = (): string => draw.one(["tells the truth", "lies"]);
    const said = names.map((name, index) =>
      index === 0 ? `${name} ${does()}.` : `${name} says ${names[index - 1]} ${does()}.`,
    );
    return `Question: ${said.join(" ")} Does ${names.at(-1)} tell the truth?`;
  },
  solve(question) {
    const truthful = new Map<string, boolean>();
    const [told, asked] = partsOf("bbh_web_of_lies", question, /^Question: (.*)\. Does (\w+) tell the truth\?$/);
    for (const sentence of told!.split(". ")) {
      const parts = partsOf("bbh_web_of_lies", sentence, /^(?:(\w+) says )?(\w+) (tells the truth|lies)$/);
      const [speaker, name, does] = parts as [string | undefined, string, string];
      const isTrue = does === "tells the truth";
      if (speaker === undefined) truthful.set(name, isTrue);
      else truthful.set(speaker, (truthful.get(name) ?? notOfGrammar("bbh_web_of_lies", question)) === isTrue);
    }
    return (truthful.get(asked!) ?? notOfGrammar("bbh_web_of_lies", question)) ? "Yes" : "No";
  },
};

/** "12pm" for 12. */
const clock = (hour: number): string => `${hour % 12 || 12}${hour < 12 ? "am" : "pm"}`;

/** 12 for "12pm". */
const hourOf = (text: string): number => (Number.parseInt(text, 10) % 12) + (text.endsWith("pm") ? 12 : 0);

const [FIRST_HOUR, LAST_HOUR] = [5, 22];
const MOST_OPTIONS = 4;

export const temporalSequences: GeneratedTask = {
  about: "when somebody was free, from when others saw them",
  difficulty: { counts: "sightings", from: 2, to: 6 },
  make(draw, sightings) {
    const hours = Array.from({ length: LAST_HOUR - FIRST_HOUR + 1 }, (_, index) => FIRST_HOUR + index);
    const cuts = draw.some(hours, sightings + 2).sort((a, b) => a - b);
    const spans = cuts.slice(1).map((to, index) => `${clock(cuts[index]!)} to ${clock(to)}`);
    const free = draw.below(spans.length);
    const [name, ...others] = draw.some(witnesses, sightings + 1);
    const done = draw.some(activities, sightings);
    const seen = spans
      .filter((_, index) => index !== free)
      .map((span, index) => `${others[index]} saw ${name} ${done[index]} from ${span}.`);
    const place = draw.one(destinations);
    const wrong = draw.some(
      spans.filter((_, index) => index !== free),
      Math.min(MOST_OPTIONS - 1, sightings),
    );
    return [
      `Today, ${name} went to the ${place}. Between what times could they have gone?`,
      "We know that:",
      `${name} woke up at ${clock(cuts[0]!)}.`,
      ...seen,
      `The ${place} was closed after ${clock(cuts.at(-1)!)}.`,
      `Between what times could ${name} have gone to the ${place}?`,
      `Options:\n${optionLines(draw.shuffled([spans[free]!, ...wrong]))}`,
    ].join("\n");
  },
  solve(question) {
    const times = partsOf("bbh_temporal_sequences", question, /woke up at (\d+[ap]m)\.[^]*closed after (\d+[ap]m)\./);
    const [woke, closed] = times.map(hourOf) as [number, number];
    const busy = new Set<number>();
    for (const [, from, to] of question.matchAll(/ saw .* from (\d+[ap]m) to (\d+[ap]m)\.$/gm))
      for (let hour = hourOf(from!); hour < hourOf(to!); hour++) busy.add(hour);
    const free = optionsOf(question).findIndex((option) => {
      const [from, to] = option.split(" to ").map(hourOf) as [number, number];
      const hours = Array.from({ length: to - from }, (_, index) => from + index);
      return from >= woke && to <= closed && hours.every((hour) => !busy.has(hour));
    });
    return free < 0 ? notOfGrammar("bbh_temporal_sequences", question) : optionName(free);
  },
};

/** "objects" is the kind of what is in a house, and as a question it means everything. */
const EVERYTHING = "objects";

export const objectCounting: GeneratedTask = {
  about: "how many things of a kind are in a list that names other kinds too",
  difficulty: { counts: "things named", from: 2, to: 12 },
  make(draw, count) {
    const kind = draw.one(Object.keys(kinds));
    const foreign = kind === EVERYTHING ? 0 : draw.below(Math.ceil(count / 2));
    const others = Object.keys(kinds)
      .filter((each) => each !== kind)
      .flatMap((each) => [...kinds[each]!]);
    const own = [...kinds[kind]!];
    const wanted = Math.min(count - foreign, own.length);
    const named = [...draw.some(own, wanted), ...draw.some(others, count - wanted)];
    const said = draw.shuffled(named).map(([one, many]) => {
      const number = draw.happens(0.55) ? 1 : draw.between(2, 5);
      return number === 1 ? one : `${numberWords[number]} ${many}`;
    });
    return `I have ${listed(said)}. How many ${kind} do I have?`;
  },
  solve(question) {
    const parts = partsOf("bbh_object_counting", question, /^I have (.*)\. How many (.*) do I have\?$/);
    const [named, kind] = parts as [string, string];
    const asked = new Set((kinds[kind] ?? notOfGrammar("bbh_object_counting", question)).map(([one]) => one));
    const counts = unlisted(named).map((item) => {
      const [, number, many] = /^(\w+) (.*)$/.exec(item)!;
      const value = number === "a" || number === "an" ? 1 : numberWords.indexOf(number!);
      const one = value === 1 ? item : singulars.get(many!);
      if (one === undefined || value < 1) return notOfGrammar("bbh_object_counting", question);
      return kind === EVERYTHING || asked.has(one) ? value : 0;
    });
    return String(sum(counts));
  },
};

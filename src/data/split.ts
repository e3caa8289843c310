// Question: which text is kept for validation?
//
// By default about 7.5 % of the bytes.
//
// - Of many documents, whole documents are kept: the documents in their order are cut into runs of k = 1 / share,
//   and the seeded generator takes one document of each run. So validation is spread evenly over the
//   corpus (for the addresses: over the years), and no part of a validation document is trained on.
//   Of several such draws, the one whose bytes come closest to the share is used.
// - Of few documents (fewer than two runs), or where one document is so large that no draw comes near the
//   share, the end of every document is kept. It is cut at the paragraph break nearest to the share, else at a
//   line break, else at a space, else between two characters.
//
// Both parts together are the corpus; nothing is dropped.

import { streams, uniformInteger } from "./random.ts";

/** A text with a name. */
export interface Document {
  readonly name: string;
  readonly text: string;
}

export interface Split {
  readonly train: readonly Document[];
  readonly validation: readonly Document[];
  readonly rule: "whole documents" | "ends of documents";
}

const draws = 16;

export function splitDocuments(documents: readonly Document[], seed: number, share: number): Split {
  if (!(share > 0 && share <= 0.5)) {
    throw new RangeError(`the validation share is ${share}; it must be above 0 and at most 0.5, say 0.075`);
  }
  return splitWhole(documents, seed, share) ?? splitEnds(documents, share);
}

function splitWhole(documents: readonly Document[], seed: number, share: number): Split | undefined {
  const run = Math.round(1 / share);
  if (documents.length < 2 * run) return undefined;
  const encoder = new TextEncoder();
  const lengths = documents.map(({ text }) => encoder.encode(text).length);
  const wanted = share * lengths.reduce((sum, length) => sum + length, 0);

  let best: { chosen: ReadonlySet<number>; distance: number } | undefined;
  for (let draw = 0; draw < draws; draw++) {
    const chosen = new Set<number>();
    let taken = 0;
    // A shorter last run gives a document only if the drawn place lies within it.
    for (let start = 0; start < documents.length; start += run) {
      const place = start + uniformInteger(seed, streams.split, draw * documents.length + start, run);
      if (place >= documents.length) continue;
      chosen.add(place);
      taken += lengths[place]!;
    }
    const distance = Math.abs(taken - wanted);
    if (best === undefined || distance < best.distance) best = { chosen, distance };
  }
  const { chosen, distance } = best!;
  if (distance > wanted / 3) return undefined;
  return {
    train: documents.filter((_, index) => !chosen.has(index)),
    validation: documents.filter((_, index) => chosen.has(index)),
    rule: "whole documents",
  };
}

function splitEnds(documents: readonly Document[], share: number): Split {
  const parts = documents.map(({ name, text }) => {
    const cut = cutNear(text, text.length * (1 - share), (text.length * share) / 2);
    return [
      { name, text: text.slice(0, cut) },
      { name, text: text.slice(cut) },
    ] as const;
  });
  const written = ({ text }: Document): boolean => text !== "";
  return {
    train: parts.map(([start]) => start).filter(written),
    validation: parts.map(([, end]) => end).filter(written),
    rule: "ends of documents",
  };
}

/** Breaks in order of preference; the cut comes after the break. */
const breaks: readonly RegExp[] = [/\n\s*\n/g, /\n/g, /\s(?=\S)/g];

/** The best place to cut within `reach` of `target`. */
function cutNear(text: string, target: number, reach: number): number {
  const from = Math.ceil(target - reach);
  const window = text.slice(from, Math.floor(target + reach));
  for (const pattern of breaks) {
    const places = Array.from(window.matchAll(pattern), (match) => from + match.index + match[0].length);
    if (places.length > 0) {
      return places.reduce((a, b) => (Math.abs(b - target) < Math.abs(a - target) ? b : a));
    }
  }
  const place = Math.round(target);
  const insideCharacter = /[\udc00-\udfff]/.test(text[place] ?? "");
  return insideCharacter ? place - 1 : place;
}

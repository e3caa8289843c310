// Question: which place of the cache does a text get, and how many of its tokens are there already?
//
// A place keeps the keys and values of the last text that it held. A new text gets the free place that has the longest
// beginning in common with it, of several the one that was left first; what it has in common is not read again. So a
// system prompt, the examples of a test or the turns of a chat are read once by each place. What is read again would be
// the same bits (shapes.ts), so a text is the same whatever its place held.

import { commonLength } from "./decoder.ts";

export interface Place {
  readonly slot: number;
  /** The tokens whose keys and values are there, from position 0 on. */
  readonly held: readonly number[];
}

export interface Places {
  readonly free: number;
  /** A place for a text, and how many of the text's first tokens it holds; undefined if none is free. */
  take(tokens: readonly number[]): { readonly slot: number; readonly known: number } | undefined;
  /** Give a place back with what it holds. */
  give(place: Place): void;
}

export function createPlaces(count: number): Places {
  /** Those left first come first. */
  const free: Place[] = Array.from({ length: count }, (_, slot) => ({ slot, held: [] }));
  return {
    get free() {
      return free.length;
    },
    take(tokens) {
      const common = free.map(({ held }) => commonLength(held, tokens));
      const known = Math.max(...common);
      const [place] = free.splice(common.indexOf(known), 1);
      return place && { slot: place.slot, known };
    },
    give: (place) => void free.push(place),
  };
}

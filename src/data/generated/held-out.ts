// Question: which questions may be trained on?
//
// Held out are, for ever and for every seed, the questions of BIG-Bench Hard, of which bbh-questions.ts has hashes, and
// one in HELD of all other questions, by a hash of its text: validation asks those, and training never sees one. So no
// question is in both, however many are generated.

import { bbhQuestions } from "./bbh-questions.ts";

/** Where a question belongs. */
export type Part = "train" | "validation" | "bbh";

const HELD = 8;

/** 32 bits of a text: FNV-1a over its UTF-16 units, and the last mixing of MurmurHash3. */
export function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

let bbh: ReadonlySet<number> | undefined;

/** Hashes from base64: four bytes each, the lowest first. */
function readHashes(text: string): Set<number> {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return new Set(Array.from({ length: bytes.length / 4 }, (_, index) => view.getUint32(4 * index, true)));
}

export function partOf(question: string): Part {
  const hash = hashOf(question);
  bbh ??= readHashes(bbhQuestions);
  if (bbh.has(hash)) return "bbh";
  return hash % HELD === 0 ? "validation" : "train";
}

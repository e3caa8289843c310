// Question: does the header of a safetensors file hold one JSON object, with each name once?
//
// A header comes from outside and may have 100 MB. It is looked over once before it is parsed: nesting that would
// exhaust the stack, names too long to print, and a name that is there twice, of which JSON.parse keeps the last.

import { isObject } from "../basics/objects.ts";
import { reason } from "./errors.ts";

/**
 * The object that a header's bytes hold.
 *
 * @throws Error without the file's name: what is wrong and where
 */
export function parseHeader(bytes: Uint8Array): Record<string, unknown> {
  const place = `bytes 8 to ${7 + bytes.length}`;
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    throw new Error(`its header is not JSON (${place}): it is not UTF-8`, { cause: error });
  }
  // Looked over first: what is too deep or too long is not worth an object.
  const repeated = repeatedName(text);
  let header: unknown;
  try {
    header = JSON.parse(text);
  } catch (error) {
    throw new Error(`its header is not JSON (${place}): ${shortName(reason(error))}`, { cause: error });
  }
  if (!isObject(header)) throw new Error(`its header is not a JSON object (${place})`);
  if (repeated !== undefined) throw new Error(`two tensors are named ${shortName(repeated)}`);
  return header;
}

/** Lists within objects within the header's object; a little more is borne, so that the entry itself is named. */
const deepestHeader = 16;
/** Far more than any name has, and few enough to print or to match. */
const longestName = 4096;
const [quote, backslash] = [0x22, 0x5c];

/**
 * A key that the outermost object has twice; JSON.parse would silently keep the last. It goes through the text once,
 * whatever it holds: the parser says later whether that is JSON.
 */
function repeatedName(json: string): string | undefined {
  const seen = new Set<string>();
  let [depth, repeated] = [0, undefined as string | undefined];
  for (let at = 0; at < json.length; at++) {
    const code = json.charCodeAt(at);
    if (code === 0x7b || code === 0x5b) {
      if (++depth > deepestHeader) throw new Error(`its header nests more than ${deepestHeader} lists or objects`);
    } else if (code === 0x7d || code === 0x5d) depth--;
    else if (code === quote) {
      const begin = at++;
      let plain = true;
      for (; at < json.length && json.charCodeAt(at) !== quote; at++) {
        if (json.charCodeAt(at) !== backslash) continue;
        plain = false;
        at++;
      }
      if (depth !== 1) continue;
      let next = at + 1;
      while (json.charCodeAt(next) <= 0x20) next++;
      if (json[next] !== ":") continue;
      if (at - begin > longestName)
        throw new Error(`the name of a tensor takes ${at - begin - 1} characters; at most ${longestName} are read`);
      const key = plain ? json.slice(begin + 1, at) : unescaped(json.slice(begin, at + 1));
      if (seen.has(key)) repeated ??= key;
      seen.add(key);
    }
  }
  return repeated;
}

/** A JSON text's value; the text itself if it is none, which the parser will say. */
function unescaped(text: string): string {
  try {
    return JSON.parse(text) as string;
  } catch {
    return text;
  }
}

/** A name as a message shows it: cut off where it is long, and without characters that move a terminal's cursor. */
export function shortName(name: string): string {
  const cut = name.length > 200 ? `${name.slice(0, 200)}…` : name;
  return cut.replace(/\p{Cc}/gu, (each) => `\\u${each.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

// Question: where does a text hold added tokens, such as `<|endoftext|>`?
//
// Added tokens are found before anything else; where several begin at one place, the longest counts. They may ask for
// white space around them (`lstrip`, `rstrip`: it becomes part of the token) or for a place of their own
// (`single_word`). As in Hugging Face's `tokenizers`.

import { codeBefore, whiteSpace, wordsOfAddedTokens } from "./character-set.ts";

/** A token that is matched in the text first; it is never part of a merge. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  /** Whether it is a control sign, not text: it stands for no bytes of the corpus. */
  readonly special: boolean;
  /** Whether it is looked for in the normalised text; false by default. */
  readonly normalized?: boolean;
  /** Whether it takes the white space before it; false by default. */
  readonly lstrip?: boolean;
  /** Whether it takes the white space after it; false by default. */
  readonly rstrip?: boolean;
  /** Whether it counts only where no letter, digit or mark touches it; false by default. */
  readonly singleWord?: boolean;
}

interface Node {
  readonly next: Map<number, Node>;
  token?: AddedToken;
}

/** Finds added tokens in texts. */
export class AddedTokenFinder {
  readonly #root: Node = { next: new Map() };

  /** @param spelling how a token is written in the texts that will be searched */
  constructor(tokens: readonly AddedToken[], spelling: (content: string) => string = (content) => content) {
    for (const token of tokens) {
      let node = this.#root;
      const content = spelling(token.content);
      for (let i = 0; i < content.length; i++) {
        const unit = content.charCodeAt(i);
        let next = node.next.get(unit);
        if (!next) node.next.set(unit, (next = { next: new Map() }));
        node = next;
      }
      if (node !== this.#root) node.token ??= token;
    }
  }

  /** Visit the added tokens and the text between them, in order. */
  forEachPart(text: string, visitText: (text: string) => void, visitToken: (token: AddedToken) => void): void {
    if (this.#root.next.size === 0) {
      if (text !== "") visitText(text);
      return;
    }
    let done = 0;
    for (let at = 0; at < text.length;) {
      const found = this.#longestAt(text, at);
      if (!found) {
        at++;
        continue;
      }
      const { token, end } = found;
      const isHere = !token.singleWord || (!isWord(codeBefore(text, at)) && !isWord(text.codePointAt(end) ?? -1));
      if (isHere) {
        const start = token.lstrip ? Math.max(done, spaceStart(text, at)) : at;
        if (start > done) visitText(text.slice(done, start));
        visitToken(token);
        done = token.rstrip ? spaceEnd(text, end) : end;
      }
      at = end;
    }
    if (done < text.length) visitText(text.slice(done));
  }

  #longestAt(text: string, start: number): { token: AddedToken; end: number } | undefined {
    let node: Node | undefined = this.#root;
    let found: { token: AddedToken; end: number } | undefined;
    for (let at = start; node; at++) {
      if (node.token) found = { token: node.token, end: at };
      node = at < text.length ? node.next.get(text.charCodeAt(at)) : undefined;
    }
    return found;
  }
}

const isWord = (code: number): boolean => code >= 0 && wordsOfAddedTokens().has(code);

/** White space is never outside the Basic Multilingual Plane. */
function spaceStart(text: string, position: number): number {
  let at = position;
  while (at > 0 && whiteSpace().has(text.charCodeAt(at - 1))) at--;
  return at;
}

function spaceEnd(text: string, position: number): number {
  let at = position;
  while (at < text.length && whiteSpace().has(text.charCodeAt(at))) at++;
  return at;
}

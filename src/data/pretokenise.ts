// Question: which boundaries may a token never cross?
//
// Text is first cut into words; merges happen only inside a word.
//
// Our rule is GPT-2's (the `ByteLevel` pre-tokenizer of Hugging Face): English contractions, then runs of letters,
// of digits, and of other signs, each with the one space before it, then white space. Every character falls under
// one of the alternatives, so all words joined are the text. Tokenizers from elsewhere may cut by another
// expression or not at all.
//
// In our rule `\s` is JavaScript's, as in `@huggingface/tokenizers`; the Rust library's differs at two characters
// (U+0085 and U+FEFF). That can change which tokens are chosen next to them, but never what they decode to.

const gpt2 = "'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/** `regex`: words are its matches and the text between them (Hugging Face's `Split`, `Isolated`). */
export type WordRule = "gpt2" | "none" | { readonly regex: string };

/** An expression that matches one word after another and leaves nothing out. */
export function wordPattern(rule: WordRule): RegExp {
  if (rule === "gpt2") return new RegExp(gpt2, "gu");
  if (rule === "none") return /[^]+/gu;
  const regex = toJavaScript(rule.regex);
  return new RegExp(`(?:${regex})|(?:(?!${regex})[^])+`, "gu");
}

/** Hugging Face's expressions are for Oniguruma, where these classes cover Unicode; in JavaScript they do not. */
const unicodeClasses: Readonly<Record<string, string>> = {
  "\\s": "\\p{White_Space}",
  "\\S": "\\P{White_Space}",
  "\\d": "\\p{Nd}",
  "\\D": "\\P{Nd}",
};

function toJavaScript(regex: string): string {
  return regex.replace(/\\[^]/g, (escape) => {
    if (/[wWbB]/.test(escape)) throw new SyntaxError(`${escape} means something else in JavaScript`);
    return unicodeClasses[escape] ?? escape;
  });
}

/**
 * Visits the words of `text` in order, given a pattern of `wordPattern`.
 * (`test` and `slice` take half the time of `match`, and memory does not grow with the text.)
 */
export function forEachWord(text: string, pattern: RegExp, visit: (word: string) => void): void {
  let start = 0;
  pattern.lastIndex = 0;
  while (pattern.test(text)) {
    visit(text.slice(start, pattern.lastIndex));
    start = pattern.lastIndex;
  }
}

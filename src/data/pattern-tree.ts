// Question: what does the expression in a `tokenizer.json` say?
//
// These expressions are written for Oniguruma (its Ruby syntax), and mean something else in JavaScript or nothing at
// all: `(?i:`, `\p{Han}`, `&&` in a class, `++`, `\A`, `\h`. So they are read here, to a tree. Whatever is not
// understood is an error with the words that it concerns; nothing is guessed. Not understood: references to groups,
// `\R`, `\X`, `\G`, `\K`, POSIX brackets, comments, look-behind of more than one character.

import {
  anyCharacter,
  characters,
  CharacterSet,
  propertySet,
  categorySet,
  whiteSpace,
  wordCharacters,
  wordCharactersInBrackets,
} from "./character-set.ts";

export type PatternTree =
  | { readonly kind: "set"; readonly set: CharacterSet }
  | { readonly kind: "sequence"; readonly parts: readonly PatternTree[] }
  | { readonly kind: "choice"; readonly options: readonly PatternTree[] }
  | {
      readonly kind: "repeat";
      readonly body: PatternTree;
      readonly least: number;
      readonly most: number;
      readonly lazy: boolean;
    }
  | { readonly kind: "atomic"; readonly body: PatternTree }
  | { readonly kind: "ahead"; readonly body: PatternTree; readonly negative: boolean }
  | { readonly kind: "behind"; readonly set: CharacterSet; readonly negative: boolean }
  | { readonly kind: "anchor"; readonly at: Anchor };

/** Start and end of the text or of a line, end before a last line feed, a word's edge or not. */
export type Anchor = "start" | "end" | "last line" | "line start" | "line end" | "word edge" | "no word edge";

interface Modes {
  readonly ignoreCase: boolean;
  readonly dotAll: boolean;
}

const escapes: Readonly<Record<string, number>> = { n: 10, r: 13, t: 9, f: 12, v: 11, a: 7, e: 27 };
const anchors: Readonly<Record<string, Anchor>> = {
  A: "start",
  z: "end",
  Z: "last line",
  b: "word edge",
  B: "no word edge",
};

/** Whether an expression can match without a character. */
export function matchesEmpty(tree: PatternTree): boolean {
  if (tree.kind === "set") return false;
  if (tree.kind === "sequence") return tree.parts.every(matchesEmpty);
  if (tree.kind === "choice") return tree.options.some(matchesEmpty);
  if (tree.kind === "repeat") return tree.least === 0 || matchesEmpty(tree.body);
  if (tree.kind === "atomic") return matchesEmpty(tree.body);
  return true;
}

/** An expression that matches just this text. */
export function literalTree(text: string): PatternTree {
  const parts = Array.from(text, (character): PatternTree => {
    return { kind: "set", set: characters(character.codePointAt(0)!) };
  });
  return { kind: "sequence", parts };
}

/** How deep groups may lie in each other; released expressions have three levels at most. */
const deepest = 50;
/** The largest number of repetitions in braces. */
const mostRepetitions = 1000;
const longest = 10_000;

/**
 * Read an expression of Oniguruma.
 *
 * @throws SyntaxError with the place and the words that are not understood
 */
export function parsePattern(source: string): PatternTree {
  if (source.length > longest) throw new SyntaxError(`it has ${source.length} characters, at most ${longest} are read`);
  return new PatternParser(source).parse();
}

class PatternParser {
  readonly #characters: readonly string[];
  #at = 0;
  #depth = 0;

  constructor(source: string) {
    this.#characters = Array.from(source);
  }

  parse(): PatternTree {
    const tree = this.#choice({ ignoreCase: false, dotAll: false });
    if (this.#at < this.#characters.length) this.#fail(")", "it closes no group");
    return tree;
  }

  #fail(what: string, why: string): never {
    throw new SyntaxError(`${what} at character ${this.#at + 1}: ${why}`);
  }

  #sees(text: string): boolean {
    return this.#characters.slice(this.#at, this.#at + text.length).join("") === text;
  }

  #take(text: string): boolean {
    if (!this.#sees(text)) return false;
    this.#at += text.length;
    return true;
  }

  #next(): string {
    return this.#characters[this.#at++] ?? this.#fail("the end", "something is missing");
  }

  #choice(outer: Modes): PatternTree {
    if (++this.#depth > deepest) this.#fail("(", `more than ${deepest} groups lie in each other`);
    const modes = this.#leadingModes(outer);
    const options = [this.#sequence(modes)];
    while (this.#take("|")) options.push(this.#sequence(modes));
    this.#depth--;
    return options.length === 1 ? options[0]! : { kind: "choice", options };
  }

  /** `(?i)` at the start of a group or of the expression holds for all of it. */
  #leadingModes(outer: Modes): Modes {
    const [all, on, off] =
      /^\(\?([im]*)(?:-([im]*))?\)/.exec(this.#characters.slice(this.#at, this.#at + 12).join("")) ?? [];
    if (all === undefined) return outer;
    this.#at += all.length;
    return changed(outer, on, off);
  }

  #sequence(modes: Modes): PatternTree {
    const parts: PatternTree[] = [];
    while (this.#at < this.#characters.length && !this.#sees("|") && !this.#sees(")")) {
      parts.push(this.#repeated(this.#item(modes)));
    }
    return parts.length === 1 ? parts[0]! : { kind: "sequence", parts };
  }

  #repeated(item: PatternTree): PatternTree {
    let tree = item;
    for (;;) {
      const range = this.#quantifier();
      if (range === undefined) return tree;
      if (tree.kind !== "set" && matchesEmpty(tree) && range.most > 1)
        this.#fail("the repetition before", "what it repeats can be empty");
      const { least, most, braces } = range;
      const bodies = { kind: "repeat", body: tree, least, most } as const;
      if (this.#take("?")) {
        // In Ruby's syntax `a{2}?` is `(?:a{2})?`.
        tree =
          braces && least === most
            ? { kind: "repeat", body: { ...bodies, lazy: false }, least: 0, most: 1, lazy: false }
            : { ...bodies, lazy: true };
      } else if (!braces && this.#take("+")) {
        tree = { kind: "atomic", body: { ...bodies, lazy: false } };
      } else {
        // After braces a + is one more quantifier.
        tree = { ...bodies, lazy: false };
      }
    }
  }

  #quantifier(): { least: number; most: number; braces: boolean } | undefined {
    if (this.#take("*")) return { least: 0, most: Infinity, braces: false };
    if (this.#take("+")) return { least: 1, most: Infinity, braces: false };
    if (this.#take("?")) return { least: 0, most: 1, braces: false };
    const rest = this.#characters.slice(this.#at, this.#at + 24).join("");
    const [all, least, comma, most] = /^\{(\d*)(,?)(\d*)\}/.exec(rest) ?? [];
    if (all === undefined || (least === "" && most === "")) return undefined;
    const from = Number(least);
    const to = comma === "" ? from : most === "" ? Infinity : Number(most);
    if (from > mostRepetitions || (to !== Infinity && to > mostRepetitions))
      this.#fail(all, `at most ${mostRepetitions} repetitions are read`);
    if (to < from) this.#fail(all, "the second number is the smaller one");
    this.#at += all.length;
    return { least: from, most: to, braces: true };
  }

  #item(modes: Modes): PatternTree {
    if (this.#sees("(")) return this.#group(modes);
    if (this.#sees("[")) return { kind: "set", set: this.#class(modes) };
    const character = this.#next();
    if (character === "^") return { kind: "anchor", at: "line start" };
    if (character === "$") return { kind: "anchor", at: "line end" };
    if (character === ".") return { kind: "set", set: modes.dotAll ? anyCharacter() : characters(10).complement() };
    if ("*+?".includes(character)) {
      this.#at--;
      return this.#fail(character, "it repeats nothing");
    }
    if (character !== "\\") return { kind: "set", set: cased(single(character), modes) };
    const anchor = this.#characters[this.#at];
    if (anchor !== undefined && Object.hasOwn(anchors, anchor)) {
      this.#at++;
      return { kind: "anchor", at: anchors[anchor]! };
    }
    // A class such as \p{Ll} stays as it is where case is ignored; in brackets it does not.
    const escaped = this.#escape(false);
    return { kind: "set", set: escaped.isClass ? escaped.set : cased(escaped.set, modes) };
  }

  #group(modes: Modes): PatternTree {
    const start = this.#at;
    this.#at++;
    const close = (tree: PatternTree): PatternTree => {
      if (this.#take(")")) return tree;
      this.#at = start;
      return this.#fail("(", "the group is not closed");
    };
    if (!this.#take("?")) return close(this.#choice(modes));
    if (this.#take(":")) return close(this.#choice(modes));
    if (this.#take(">")) return close({ kind: "atomic", body: this.#choice(modes) });
    if (this.#take("=")) return close({ kind: "ahead", body: this.#choice(modes), negative: false });
    if (this.#take("!")) return close({ kind: "ahead", body: this.#choice(modes), negative: true });
    for (const [sign, negative] of [
      ["<=", false],
      ["<!", true],
    ] as const) {
      if (!this.#take(sign)) continue;
      const body = this.#choice(modes);
      if (body.kind !== "set") return this.#fail(`(?${sign}`, "only one character can be looked back for");
      return close({ kind: "behind", set: body.set, negative });
    }
    const rest = this.#characters.slice(this.#at, this.#at + 80).join("");
    const [name] = /^<[a-zA-Z_]\w*>/.exec(rest) ?? [];
    if (name !== undefined) {
      this.#at += name.length;
      return close(this.#choice(modes));
    }
    const [all, on, off] = /^([im]*)(?:-([im]*))?:/.exec(rest) ?? [];
    if (all === undefined) return this.#fail(`(?${rest.slice(0, 4)}`, "this kind of group is not known, or not there");
    this.#at += all.length;
    return close(this.#choice(changed(modes, on, off)));
  }

  /** What stands after a backslash: a class, or one character. */
  #escape(inBrackets: boolean): { isClass: boolean; set: CharacterSet } {
    const letter = this.#next();
    if (letter === "p" || letter === "P") return { isClass: true, set: this.#property(letter === "P") };
    const made = classOf(letter, inBrackets);
    if (made) return { isClass: true, set: made };
    const character = (set: CharacterSet) => ({ isClass: false, set });
    if (Object.hasOwn(escapes, letter)) return character(characters(escapes[letter]!));
    if (letter === "x" || letter === "u") return character(characters(this.#hexadecimal(letter)));
    if (/[a-zA-Z0-9]/.test(letter)) {
      this.#at -= 2;
      return this.#fail(`\\${letter}`, "it is not read");
    }
    return character(single(letter));
  }

  #hexadecimal(letter: "x" | "u"): number {
    const rest = this.#characters.slice(this.#at, this.#at + 12).join("");
    const pattern = letter === "u" ? /^([0-9a-fA-F]{4})/ : /^(?:\{([0-9a-fA-F]{1,6})\}|([0-9a-fA-F]{1,2}))/;
    const match = pattern.exec(rest);
    const code = match ? parseInt(match[1] ?? match[2]!, 16) : Infinity;
    if (!match || code > 0x10ffff) return this.#fail(`\\${letter}`, "the number of a character must follow");
    this.#at += match[0].length;
    return code;
  }

  #property(complement: boolean): CharacterSet {
    const rest = this.#characters.slice(this.#at, this.#at + 60).join("");
    const [all, not, name] = /^\{(\^?)([A-Za-z][A-Za-z_ -]*)\}/.exec(rest) ?? [];
    const set = name === undefined ? undefined : propertySet(name);
    if (all === undefined || !set)
      return this.#fail(`\\p${/^\{[^}]*\}?/.exec(rest)?.[0] ?? ""}`, "it is no property known here");
    this.#at += all.length;
    return complement !== (not === "^") ? set.complement() : set;
  }

  /** A class in brackets: characters, ranges and classes; `&&` between them means what is in both. */
  #class(modes: Modes): CharacterSet {
    if (++this.#depth > deepest) this.#fail("[", `more than ${deepest} classes lie in each other`);
    const start = this.#at;
    this.#at++;
    const negative = this.#take("^");
    let both: CharacterSet | undefined;
    let set = characters();
    let first = true;
    while (first || !this.#sees("]")) {
      if (this.#at >= this.#characters.length) {
        this.#at = start;
        return this.#fail("[", "the class is not closed");
      }
      if (this.#sees("[:")) return this.#fail("[:", "POSIX brackets are not read");
      if (this.#take("&&")) {
        both = both ? both.intersection(set) : set;
        set = characters();
      } else if (this.#sees("[")) set = set.union(this.#class(modes));
      else set = set.union(this.#range());
      first = false;
    }
    this.#at++;
    this.#depth--;
    const all = cased(both ? both.intersection(set) : set, modes);
    return negative ? all.complement() : all;
  }

  /** One character of a class, a range of them, or a class after a backslash. */
  #range(): CharacterSet {
    const from = this.#classItem();
    if (typeof from !== "number") return from;
    const isRange = this.#sees("-") && !["]", "[", undefined].includes(this.#characters[this.#at + 1]);
    if (!isRange) return characters(from);
    this.#at++;
    const to = this.#classItem();
    if (typeof to !== "number" || to < from) return this.#fail("-", "the range has no end, or one before its start");
    return new CharacterSet([[from, to]]);
  }

  #classItem(): number | CharacterSet {
    const character = this.#next();
    if (character !== "\\") return character.codePointAt(0)!;
    const letter = this.#characters[this.#at];
    if (letter === undefined) return this.#fail("\\", "something is missing");
    if (letter === "b") {
      this.#at++;
      return 8;
    }
    if (letter === "x" || letter === "u") {
      this.#at++;
      return this.#hexadecimal(letter);
    }
    if (Object.hasOwn(escapes, letter)) {
      this.#at++;
      return escapes[letter]!;
    }
    if (/[a-zA-Z0-9]/.test(letter)) return this.#escape(true).set;
    this.#at++;
    return letter.codePointAt(0)!;
  }
}

const single = (character: string): CharacterSet => characters(character.codePointAt(0)!);

const cased = (set: CharacterSet, { ignoreCase }: Modes): CharacterSet => (ignoreCase ? set.withBothCases() : set);

function changed(modes: Modes, on: string = "", off: string = ""): Modes {
  const after = (letter: string, before: boolean): boolean => (on.includes(letter) || before) && !off.includes(letter);
  return { ignoreCase: after("i", modes.ignoreCase), dotAll: after("m", modes.dotAll) };
}

const classes: ReadonlyMap<string, (inBrackets: boolean) => CharacterSet> = new Map([
  ["s", whiteSpace],
  ["d", () => categorySet("Nd")],
  ["w", (inBrackets: boolean) => (inBrackets ? wordCharactersInBrackets() : wordCharacters())],
  [
    "h",
    () =>
      new CharacterSet([
        [0x30, 0x39],
        [0x41, 0x46],
        [0x61, 0x66],
      ]),
  ],
]);

/** The class of an escape such as `\s`; undefined for what is none. */
function classOf(letter: string, inBrackets: boolean): CharacterSet | undefined {
  const set = classes.get(letter.toLowerCase())?.(inBrackets);
  return set && letter !== letter.toLowerCase() ? set.complement() : set;
}

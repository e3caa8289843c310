// Question: where does an expression match, in any text, without end or overflow?
//
// A tree (pattern-tree.ts) becomes a list of instructions, and these run as in Oniguruma: alternatives in order, the
// first that leads to a match wins. Three things differ from a RegExp of JavaScript. A loop over one class keeps a
// single place to go back to, however long its run: millions of emoji need no stack. Every step counts, and an
// expression that needs too many for its text (`(a+)+b` goes back without end) ends with an error. And a result
// depends on no engine: the classes are those of character-set.ts.

import { type CharacterSet, codeBefore, wordCharacters } from "./character-set.ts";
import type { Anchor, PatternTree } from "./pattern-tree.ts";

type Instruction =
  | { readonly op: "set"; readonly set: CharacterSet }
  | {
      readonly op: "run";
      readonly set: CharacterSet;
      readonly least: number;
      readonly most: number;
      readonly keep: boolean;
    }
  | { readonly op: "split"; readonly first: number; readonly second: number }
  | { readonly op: "jump"; readonly to: number }
  | { readonly op: "ahead"; readonly negative: boolean; readonly next: number }
  | { readonly op: "atomic"; readonly next: number }
  | { readonly op: "behind"; readonly set: CharacterSet; readonly negative: boolean }
  | { readonly op: "anchor"; readonly at: Anchor }
  | { readonly op: "accept" };

/** The largest program; `(a{1000}){1000}` would have a million instructions. */
const mostInstructions = 20_000;
/** Steps for a text: released expressions take some 5 to 30 a character. */
const stepsPerCharacter = 100;
const stepsBeside = 2000;
/** The largest number of places to go back to at once: 100 MB. */
const mostPlaces = 2 ** 22;

/** An expression, ready to search texts. */
export class Pattern {
  readonly #program: Instruction[] = [];
  readonly #source: string;
  #text = "";
  #steps = 0;
  #limit = 0;
  /** Places to go back to: an instruction, a position, and the least position of a run (-1 where there is none). */
  readonly #stack: number[] = [];

  /**
   * @param source what to call it in an error
   * @throws SyntaxError when it would need too large a program
   */
  constructor(tree: PatternTree, source: string) {
    this.#source = source;
    this.#compile(tree);
    this.#emit({ op: "accept" });
  }

  /**
   * Visit the matches in a text, from left to right.
   *
   * @throws Error when the search needs too many steps
   */
  forEachMatch(text: string, visit: (start: number, end: number) => void): void {
    this.#text = text;
    this.#steps = 0;
    this.#limit = stepsBeside + stepsPerCharacter * text.length;
    for (let at = 0; at < text.length;) {
      const end = this.#match(0, at);
      if (end > at) {
        visit(at, end);
        at = end;
      } else at += widthAt(text, at);
    }
    this.#text = "";
  }

  #emit(instruction: Instruction): number {
    if (this.#program.length >= mostInstructions)
      throw new SyntaxError(`it repeats so much that it would need more than ${mostInstructions} instructions`);
    return this.#program.push(instruction) - 1;
  }

  /** Leave a place for an instruction that must know where what follows ends. */
  #reserve(): number {
    return this.#emit({ op: "accept" });
  }

  #compile(tree: PatternTree): void {
    switch (tree.kind) {
      case "set":
        this.#emit({ op: "set", set: tree.set });
        break;
      case "sequence":
        tree.parts.forEach((part) => this.#compile(part));
        break;
      case "choice":
        this.#choice(tree.options);
        break;
      case "repeat":
        this.#repeat(tree, false);
        break;
      case "atomic":
        if (tree.body.kind === "repeat" && tree.body.body.kind === "set") this.#repeat(tree.body, true);
        else this.#enclosed(tree.body, (next) => ({ op: "atomic", next }));
        break;
      case "ahead":
        this.#enclosed(tree.body, (next) => ({ op: "ahead", negative: tree.negative, next }));
        break;
      case "behind":
        this.#emit({ op: "behind", set: tree.set, negative: tree.negative });
        break;
      case "anchor":
        this.#emit({ op: "anchor", at: tree.at });
        break;
    }
  }

  #enclosed(body: PatternTree, make: (next: number) => Instruction): void {
    const at = this.#reserve();
    this.#compile(body);
    this.#emit({ op: "accept" });
    this.#program[at] = make(this.#program.length);
  }

  #choice(options: readonly PatternTree[]): void {
    const exits: number[] = [];
    options.forEach((option, i) => {
      const isLast = i === options.length - 1;
      const split = isLast ? -1 : this.#reserve();
      this.#compile(option);
      if (isLast) return;
      exits.push(this.#reserve());
      this.#program[split] = { op: "split", first: split + 1, second: this.#program.length };
    });
    for (const exit of exits) this.#program[exit] = { op: "jump", to: this.#program.length };
  }

  #repeat({ body, least, most, lazy }: PatternTree & { kind: "repeat" }, keep: boolean): void {
    if (body.kind === "set" && !lazy) {
      this.#emit({ op: "run", set: body.set, least, most, keep });
      return;
    }
    for (let i = 0; i < least; i++) this.#compile(body);
    if (most === Infinity) {
      const split = this.#reserve();
      this.#compile(body);
      this.#emit({ op: "jump", to: split });
      this.#fork(split, lazy);
      return;
    }
    const splits: number[] = [];
    for (let i = least; i < most; i++) {
      splits.push(this.#reserve());
      this.#compile(body);
    }
    for (const split of splits) this.#fork(split, lazy);
  }

  /** Fill a reserved place: go on after it, or leave the loop for the end of the program so far. */
  #fork(at: number, lazy: boolean): void {
    const [enter, leave] = [at + 1, this.#program.length];
    this.#program[at] = lazy
      ? { op: "split", first: leave, second: enter }
      : { op: "split", first: enter, second: leave };
  }

  /** Where the match that starts at a position ends, from an instruction to its "accept"; -1 if there is none. */
  #match(from: number, start: number): number {
    const [text, program, stack] = [this.#text, this.#program, this.#stack];
    const bottom = stack.length;
    let at = from;
    let position = start;
    for (;;) {
      this.#count(1);
      const instruction = program[at]!;
      let goesOn = true;
      switch (instruction.op) {
        case "set": {
          const code = position < text.length ? text.codePointAt(position)! : -1;
          goesOn = code >= 0 && instruction.set.has(code);
          if (goesOn) position += code > 0xffff ? 2 : 1;
          at++;
          break;
        }
        case "run": {
          const { set, least, most, keep } = instruction;
          let count = 0;
          let leastEnd = position;
          while (count < most && position < text.length) {
            const code = text.codePointAt(position)!;
            if (!set.has(code)) break;
            position += code > 0xffff ? 2 : 1;
            if (++count === least) leastEnd = position;
          }
          this.#count(count);
          goesOn = count >= least;
          if (goesOn && position > leastEnd && !keep) stack.push(at, position, leastEnd);
          at++;
          break;
        }
        case "split":
          stack.push(instruction.second, position, -1);
          at = instruction.first;
          break;
        case "jump":
          at = instruction.to;
          break;
        case "ahead":
          goesOn = this.#match(at + 1, position) >= 0 !== instruction.negative;
          at = instruction.next;
          break;
        case "atomic": {
          const end = this.#match(at + 1, position);
          goesOn = end >= 0;
          position = end;
          at = instruction.next;
          break;
        }
        case "behind": {
          const code = codeBefore(text, position);
          goesOn = (code >= 0 && instruction.set.has(code)) !== instruction.negative;
          at++;
          break;
        }
        case "anchor":
          goesOn = holds(instruction.at, text, position);
          at++;
          break;
        case "accept":
          stack.length = bottom;
          return position;
      }
      if (goesOn) continue;
      if (stack.length === bottom) return -1;
      const least = stack.pop()!;
      position = stack.pop()!;
      at = stack.pop()!;
      if (least < 0) continue;
      position -= codeBefore(text, position) > 0xffff ? 2 : 1;
      if (position > least) stack.push(at, position, least);
      at++;
    }
  }

  #count(steps: number): void {
    this.#steps += steps;
    if (this.#steps <= this.#limit && this.#stack.length <= 3 * mostPlaces) return;
    this.#stack.length = 0;
    throw new Error(
      `the pattern ${JSON.stringify(this.#source.slice(0, 100))} of the tokenizer took ${this.#steps} steps on a text of ` +
        `${this.#text.length} characters and was not done: it goes back too often. Use a tokenizer without nested repetitions`,
    );
  }
}

const widthAt = (text: string, position: number): number => (text.codePointAt(position)! > 0xffff ? 2 : 1);

function holds(anchor: Anchor, text: string, position: number): boolean {
  const isLast = position === text.length;
  switch (anchor) {
    case "start":
      return position === 0;
    case "end":
      return isLast;
    case "last line":
      return isLast || (position === text.length - 1 && text.endsWith("\n"));
    case "line start":
      return position === 0 || (text[position - 1] === "\n" && !isLast);
    case "line end":
      return isLast || text[position] === "\n";
    case "word edge":
      return isWord(codeBefore(text, position)) !== isWord(isLast ? -1 : text.codePointAt(position)!);
    case "no word edge":
      return !holds("word edge", text, position);
    default:
      return anchor satisfies never;
  }
}

const isWord = (code: number): boolean => code >= 0 && wordCharacters().has(code);

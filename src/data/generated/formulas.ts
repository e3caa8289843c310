// Question: which tasks ask for the value of a formula?
//
//   bbh_boolean_expressions       not ( True ) and ( True ) is                        as in BIG-Bench Hard
//   bbh_multistep_arithmetic_two  ((-1 + 2 + 9 * 5) - (-2 + -4 + -4 * -7)) =          as in BIG-Bench Hard
//   boolean                       ( ( True xor not False ) and True ) is              nested to a depth
//   arithmetic                    ( 3 + ( 4 * 2 ) ) mod 10 =                          nested to a depth
//   listops                       [ MAX 2 9 [ MIN 4 7 ] 0 ] =                         nested to a depth
//
// ListOps is of Nangia and Bowman 2018 (arXiv 1804.06028), with the operators of Tay et al. 2020 (arXiv 2011.04006):
// MAX, MIN, MED (the median, rounded down) and SM (the sum modulo 10). In the nested tasks one operand of each operator
// is nested and the others are atoms, so that the length grows with the depth and not with its power.

import { sum } from "../../basics/numbers.ts";
import type { Draw } from "./draw.ts";
import { arithmetic, evaluate, logic } from "./infix.ts";
import { type GeneratedTask, notOfGrammar, partsOf } from "./task.ts";

const truth = (draw: Draw): string => draw.one(["True", "False"]);
const name = (value: boolean): string => (value ? "True" : "False");

function truthOf(task: string, question: string): string {
  const [formula] = partsOf(task, question, /^(.*) is$/);
  const value = evaluate(formula!.split(" "), logic);
  return value === undefined ? notOfGrammar(task, question) : name(value);
}

/** Operands joined by operators, with some of them negated or in brackets. */
function flatFormula(draw: Draw, operands: number): string {
  const negated = (): string => "not ".repeat(draw.one([0, 0, 1, 1, 2]));
  if (operands === 1) return `${negated()}${draw.happens(0.35) ? `( ${negated()}${truth(draw)} )` : truth(draw)}`;
  const left = draw.between(1, operands - 1);
  const joined = `${flatFormula(draw, left)} ${draw.one(["and", "or"])} ${flatFormula(draw, operands - left)}`;
  return draw.happens(0.25) ? `${negated()}( ${joined} )` : joined;
}

export const booleanExpressions: GeneratedTask = {
  about: "the truth value of an expression with and, or, not and brackets",
  difficulty: { counts: "operands", from: 2, to: 6 },
  make: (draw, operands) => `${flatFormula(draw, operands)} is`,
  solve: (question) => truthOf("bbh_boolean_expressions", question),
};

/** A formula with one operand nested at every level: from the innermost atom outwards. */
function nested(depth: number, innermost: string, wrap: (inner: string) => string): string {
  let text = innermost;
  for (let level = 0; level < depth; level++) text = wrap(text);
  return text;
}

/** An operator between an inner formula and an atom, on either side. */
function joinedTo(draw: Draw, inner: string, operator: string, atom: string): string {
  return draw.happens(0.5) ? `( ${inner} ${operator} ${atom} )` : `( ${atom} ${operator} ${inner} )`;
}

export const nestedBoolean: GeneratedTask = {
  about: "the truth value of a formula with and, or, xor and not that is nested to a depth",
  difficulty: { counts: "depth", from: 2, to: 8 },
  make(draw, depth) {
    const atom = (): string => `${draw.happens(0.3) ? "not " : ""}${truth(draw)}`;
    const wrap = (inner: string): string =>
      `${draw.happens(0.2) ? "not " : ""}${joinedTo(draw, inner, draw.one(["and", "or", "xor", "xor"]), atom())}`;
    return `${nested(depth, atom(), wrap)} is`;
  },
  solve: (question) => truthOf("boolean", question),
};

const numberTokens = (text: string): string[] => text.match(/-?\d+|[-+*()]|\S/g) ?? [];

export const multistepArithmetic: GeneratedTask = {
  about: "the value of two groups of numbers of one digit, joined by +, - and *",
  difficulty: { counts: "numbers in a group", from: 2, to: 4 },
  make(draw, numbers) {
    const operator = (): string => ` ${draw.one(["+", "-", "*"])} `;
    const number = (): string => String(draw.between(-9, 9));
    const group = (): string =>
      `(${Array.from({ length: numbers }, (_, index) => (index ? operator() : "") + number()).join("")})`;
    return `(${group()}${operator()}${group()}) =`;
  },
  solve(question) {
    const [formula] = partsOf("bbh_multistep_arithmetic_two", question, /^(.*) =$/);
    const value = evaluate(numberTokens(formula!), arithmetic);
    return value === undefined ? notOfGrammar("bbh_multistep_arithmetic_two", question) : String(value + 0);
  },
};

const digit = (draw: Draw): string => String(draw.below(10));

export const nestedArithmetic: GeneratedTask = {
  about: "the last digit of a formula with +, - and * that is nested to a depth",
  difficulty: { counts: "depth", from: 1, to: 6 },
  make(draw, depth) {
    const wrap = (inner: string): string => joinedTo(draw, inner, draw.one(["+", "-", "*"]), digit(draw));
    return `${nested(depth, digit(draw), wrap)} mod 10 =`;
  },
  solve(question) {
    const [formula] = partsOf("arithmetic", question, /^(.*) mod 10 =$/);
    const value = evaluate(numberTokens(formula!), arithmetic);
    return value === undefined ? notOfGrammar("arithmetic", question) : String(((value % 10) + 10) % 10);
  },
};

const listOperators: Readonly<Record<string, (values: readonly number[]) => number>> = {
  MAX: (values) => Math.max(...values),
  MIN: (values) => Math.min(...values),
  MED(values) {
    const sorted = [...values].sort((a, b) => a - b);
    const [low, high] = [sorted[(sorted.length - 1) >> 1]!, sorted[sorted.length >> 1]!];
    return Math.floor((low + high) / 2);
  },
  SM: (values) => sum(values) % 10,
};

export const listops: GeneratedTask = {
  about: "maximum, minimum, median and sum modulo 10 of lists that are nested to a depth",
  difficulty: { counts: "depth", from: 1, to: 6 },
  make(draw, depth) {
    const list = (inner: readonly string[]): string => {
      const values = [...inner, ...Array.from({ length: draw.between(2, 3) }, () => digit(draw))];
      return `[ ${draw.one(Object.keys(listOperators))} ${draw.shuffled(values).join(" ")} ]`;
    };
    return `${nested(depth - 1, list([digit(draw)]), (inner) => list([inner]))} =`;
  },
  solve(question) {
    const [formula] = partsOf("listops", question, /^(.*) =$/);
    const tokens = formula!.split(" ");
    let at = 0;
    const value = (): number => {
      const token = tokens[at++] ?? "";
      if (/^\d$/.test(token)) return Number(token);
      const operator = tokens[at++] ?? "";
      const values: number[] = [];
      while (at < tokens.length && tokens[at] !== "]") values.push(value());
      if (token !== "[" || tokens[at++] !== "]" || values.length === 0 || !Object.hasOwn(listOperators, operator))
        notOfGrammar("listops", question);
      return listOperators[operator]!(values);
    };
    const result = value();
    return at === tokens.length ? String(result) : notOfGrammar("listops", question);
  },
};

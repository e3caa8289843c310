// Question: are two answers of MATH the same?
//
// Hendrycks et al. (2021, arXiv 2103.03874) compare texts after `strip_string`; Lewkowycz et al. (2022, arXiv 2206.14858)
// after the normalisation of their appendix D. Both are ported step by step from the harness, with their peculiarities:
// "\infty" loses its "ft". The harness then lets sympy decide whether the difference of two Minerva answers is zero; here
// texts are equal, or both are numbers (latex-number.ts) that are equal.

import { latexNumber } from "./latex-number.ts";
import { charactersOf, isDigits, lengthOf, strip } from "./python.ts";

/** The last \boxed{…} or \fbox{…} of a solution, braces included; undefined without one. */
export function lastBoxed(text: string): string | undefined {
  if (text.includes("\\boxed ")) return `\\boxed ${text.split("\\boxed ").at(-1)!.split("$")[0]!}`;
  const start = text.includes("\\boxed") ? text.lastIndexOf("\\boxed") : text.lastIndexOf("\\fbox");
  if (start < 0) return undefined;
  let open = 0;
  for (let i = start; i < text.length; i++) {
    if (text[i] === "{") open++;
    if (text[i] === "}" && --open === 0) return text.slice(start, i + 1);
  }
  return undefined;
}

/** What is in the box. The harness refuses \fbox, and so does this. */
export function insideBox(boxed: string): string | undefined {
  if (boxed.includes("\\boxed ")) return boxed.startsWith("\\boxed ") ? boxed.slice("\\boxed ".length) : undefined;
  return boxed.startsWith("\\boxed{") && boxed.endsWith("}") ? boxed.slice("\\boxed{".length, -1) : undefined;
}

// --- Hendrycks ----------------------------------------------------------------------------------

/** What a model answered: the text between the first and the last dollar sign, or all of it. */
export function betweenDollars(text: string): string {
  const [first, last] = [text.indexOf("$"), text.lastIndexOf("$")];
  return last > first ? text.slice(first + 1, last) : text;
}

/** Whether two answers are the same after `stripAnswer`; as they are, where that fails. */
export function sameAnswer(a: string, b: string): boolean {
  const [bareA, bareB] = [stripAnswer(a), stripAnswer(b)];
  return bareA === undefined || bareB === undefined ? a === b : bareA === bareB;
}

/** `strip_string`; undefined where the original raises an error. */
export function stripAnswer(answer: string): string | undefined {
  let text = answer
    .replaceAll("\n", "")
    .replaceAll("\\!", "")
    .replaceAll("\\\\", "\\")
    .replaceAll("tfrac", "frac")
    .replaceAll("dfrac", "frac")
    .replaceAll("\\left", "")
    .replaceAll("\\right", "")
    .replaceAll("^{\\circ}", "")
    .replaceAll("^\\circ", "")
    .replaceAll("\\$", "");
  const parts = text.split("\\text{ ");
  if (parts.length > 2) return undefined;
  text = parts[0]!.replaceAll("\\%", "").replaceAll(" .", " 0.").replaceAll("{.", "{0.");
  if (text === "") return text;
  if (text.startsWith(".")) text = `0${text}`;
  const sides = text.split("=");
  if (sides.length === 2 && lengthOf(sides[0]!) <= 2) text = sides[1]!;
  const rooted = braceRoots(text);
  if (rooted === undefined) return undefined;
  const braced = braceFractions(rooted.replaceAll(" ", ""));
  if (braced === undefined) return undefined;
  return slashAsFraction(braced === "0.5" ? "\\frac{1}{2}" : braced);
}

/** \sqrt3 → \sqrt{3} */
function braceRoots(text: string): string | undefined {
  const [first = "", ...rest] = text.split("\\sqrt");
  if (rest.includes("")) return undefined;
  const roots = rest.map((part) => {
    const [digit = "", ...others] = charactersOf(part);
    return digit === "{" ? `\\sqrt${part}` : `\\sqrt{${digit}}${others.join("")}`;
  });
  return first + roots.join("");
}

/** \frac12 → \frac{1}{2}, \frac1{72} → \frac{1}{72} */
function braceFractions(text: string): string | undefined {
  const [first = "", ...rest] = text.split("\\frac");
  let braced = first;
  for (const part of rest) {
    if (part === "") return undefined;
    const [a = "", b, ...others] = charactersOf(part);
    if (a === "{") braced += `\\frac${part}`;
    else if (b === undefined) return text;
    else braced += `\\frac{${a}}${b === "{" ? b : `{${b}}`}${others.join("")}`;
  }
  return braced;
}

/** 1/2 → \frac{1}{2}, of two whole numbers; undefined where one is none, as the original fails there. */
function slashAsFraction(text: string): string | undefined {
  const parts = text.split("/");
  if (parts.length !== 2) return text;
  const whole = parts.map((part) => /^[+-]?\d+(?:_\d+)*$/.test(strip(part)));
  if (whole.includes(false)) return undefined;
  return parts.every((part) => /^(?:0|-?[1-9]\d*)$/.test(part)) ? `\\frac{${parts[0]}}{${parts[1]}}` : text;
}

// --- Minerva ------------------------------------------------------------------------------------

const substitutions: readonly (readonly [string, string])[] = [
  ["an ", ""],
  ["a ", ""],
  [".$", "$"],
  ["\\$", ""],
  ["\\ ", ""],
  [" ", ""],
  ["mbox", "text"],
  [",\\text{and}", ","],
  ["\\text{and}", ","],
  ["\\text{m}", "\\text{}"],
];

const removed: readonly string[] = [
  "square",
  "ways",
  "integers",
  "dollars",
  "mph",
  "inches",
  "ft",
  "hours",
  "km",
  "units",
  "\\ldots",
  "sue",
  "points",
  "feet",
  "minutes",
  "digits",
  "cents",
  "degrees",
  "cm",
  "gm",
  "pounds",
  "meters",
  "meals",
  "edges",
  "students",
  "childrentickets",
  "multiples",
  "\\text{s}",
  "\\text{.}",
  "\\text{\ns}",
  "\\text{}^2",
  "\\text{}^3",
  "\\text{\n}",
  "\\text{}",
  "\\mathrm{th}",
  "^\\circ",
  "^{\\circ}",
  "\\;",
  ",\\!",
  "{,}",
  '"',
  "\\dots",
];

const rewritten: readonly (readonly [RegExp, string])[] = [
  [/([^\n]*?)(\$)([^\n]*?)(\$)([^\n]*)/g, "$$$3$$"],
  [/(\\text\{)([^\n]*?)(\})/g, "$2"],
  [/(\\textbf\{)([^\n]*?)(\})/g, "$2"],
  [/(\\overline\{)([^\n]*?)(\})/g, "$2"],
  [/(\\boxed\{)([^\n]*)(\})/g, "$2"],
  [/(frac)([^{])([^\n])/gu, "frac{$2}{$3}"],
  [/(sqrt)([^{])/gu, "sqrt{$2}"],
];

/** `normalize_final_answer` */
export function normaliseFinalAnswer(answer: string): string {
  let text = answer.split("=").at(-1)!;
  for (const [before, after] of substitutions) text = text.replaceAll(before, after);
  for (const expression of removed) text = text.replaceAll(expression, "");
  for (const [pattern, replacement] of rewritten) text = text.replace(pattern, replacement);
  text = text.replaceAll("$", "");
  const joined = text.replaceAll(",", "");
  return isDigits(joined) ? joined : text;
}

/** What stands in "Final Answer: The final answer is … I hope it is correct.", or "[invalidanswer]". */
export function finalAnswer(text: string): string {
  const pattern = /Final Answer: The final answer is([^\n]*?)[^\n] I hope it is correct[^\n]/u;
  const match = pattern.exec(`${text}I hope it is correct.`);
  return match ? strip(match[1]!) : "[invalidanswer]";
}

/** Whether two normalised answers are the same text or the same number. */
export function sameNumberOrText(a: string, b: string): boolean {
  if (a === b) return true;
  const [x, y] = [latexNumber(a), latexNumber(b)];
  if (x === undefined || y === undefined) return false;
  return Math.abs(x - y) <= 1e-9 * Math.max(1, Math.abs(x), Math.abs(y));
}

// Question: which number is a term of LaTeX?
//
//   sum     = ["+" | "−"] product {("+" | "−") product}
//   product = power {["·" | "/"] power}                 \cdot, \times, *, and terms side by side
//   power   = atom ["^" group]
//   atom    = number | "(" sum ")" | \frac group group | \sqrt ["[" sum "]"] group | \pi | e | "{" sum "}"
//   group   = "{" sum "}" | a digit
//
// What has a variable or any other command is no number.

const TOKENS = /\\[a-zA-Z]+|\d+(?:\.\d*)?|\.\d+|[-+*/^()[\]{}]|e/y;
/** Commands that change nothing. */
const quiet = new Set(["\\left", "\\right", "\\displaystyle"]);
const factors = new Set(["\\cdot", "\\times", "*"]);
const constants: Readonly<Record<string, number>> = { "\\pi": Math.PI, e: Math.E };

/** The number, or undefined where the text is not one. */
export function latexNumber(text: string): number | undefined {
  const tokens = tokensOf(text.replaceAll(/\s|\\[,;! ]/g, "").replaceAll(/\\[dt]frac/g, "\\frac"));
  if (!tokens || tokens.length === 0) return undefined;
  const value = readTerm(tokens);
  return value === undefined || !Number.isFinite(value) ? undefined : value;
}

function tokensOf(text: string): string[] | undefined {
  const tokens: string[] = [];
  TOKENS.lastIndex = 0;
  while (TOKENS.lastIndex < text.length) {
    const match = TOKENS.exec(text);
    if (!match) return undefined;
    if (!quiet.has(match[0])) tokens.push(match[0]);
  }
  return tokens;
}

/** Thrown where the tokens are no term, and caught by `readTerm`. */
class NoNumber extends Error {}

function readTerm(tokens: readonly string[]): number | undefined {
  let at = 0;
  const take = (token: string): boolean => tokens[at] === token && ++at > 0;
  const expect = (token: string): void => {
    if (!take(token)) throw new NoNumber();
  };

  const sum = (): number => {
    const sign = take("-") ? -1 : (take("+"), 1);
    let value = sign * product();
    for (;;) {
      if (take("+")) value += product();
      else if (take("-")) value -= product();
      else return value;
    }
  };
  const product = (): number => {
    let value = power();
    for (;;) {
      const next = tokens[at];
      if (next !== undefined && factors.has(next)) {
        at++;
        value *= power();
      } else if (take("/")) value /= power();
      else if (next !== undefined && beginsAtom(next)) value *= power();
      else return value;
    }
  };
  const power = (): number => {
    const base = atom();
    return take("^") ? base ** group() : base;
  };
  const within = (close: string): number => {
    const value = sum();
    expect(close);
    return value;
  };
  const group = (): number => {
    if (take("{")) return within("}");
    const digits = tokens[at++];
    if (digits === undefined || !/^\d$/.test(digits)) throw new NoNumber();
    return Number(digits);
  };
  const atom = (): number => {
    const token = tokens[at++] ?? "";
    if (/^[\d.]/.test(token)) return Number(token);
    if (token === "(") return within(")");
    if (token === "{") return within("}");
    if (token in constants) return constants[token]!;
    if (token === "\\frac") {
      const above = group();
      return above / group();
    }
    if (token !== "\\sqrt") throw new NoNumber();
    const degree = take("[") ? within("]") : 2;
    return group() ** (1 / degree);
  };

  try {
    const value = sum();
    return at === tokens.length ? value : undefined;
  } catch (error) {
    if (error instanceof NoNumber) return undefined;
    throw error;
  }
}

const beginsAtom = (token: string): boolean =>
  ["(", "{", "\\frac", "\\sqrt"].includes(token) || token in constants || /^[\d.]/.test(token);

// Question: what is the value of an expression?
//
//   level 0     := level 1 (operator of level 0, level 1)*       and so on, from weak to strong; all lean left
//   the last    := prefix* atom | "(" level 0 ")"

/** The operators of a kind of expression and what its atoms are worth. */
export interface Operators<V> {
  /** From the weakest to the strongest. */
  readonly levels: readonly Readonly<Record<string, (a: V, b: V) => V>>[];
  readonly prefix: Readonly<Record<string, (a: V) => V>>;
  /** Undefined where a token is no atom. */
  atom(token: string): V | undefined;
}

/**
 * The value of an expression, of which all tokens must be a part.
 *
 * @returns undefined where the tokens are no expression
 */
export function evaluate<V>(tokens: readonly string[], { levels, prefix, atom }: Operators<V>): V | undefined {
  let at = 0;
  const single = (): V | undefined => {
    const token = tokens[at++] ?? "";
    if (Object.hasOwn(prefix, token)) {
      const value = single();
      return value === undefined ? undefined : prefix[token]!(value);
    }
    if (token !== "(") return atom(token);
    const value = from(0);
    return tokens[at++] === ")" ? value : undefined;
  };
  const from = (level: number): V | undefined => {
    const operators = levels[level];
    if (!operators) return single();
    let value = from(level + 1);
    while (value !== undefined && Object.hasOwn(operators, tokens[at] ?? "")) {
      const operator = operators[tokens[at++]!]!;
      const other = from(level + 1);
      value = other === undefined ? undefined : operator(value, other);
    }
    return value;
  };
  const value = from(0);
  return at === tokens.length ? value : undefined;
}

/** Numbers with sums, differences and products. */
export const arithmetic: Operators<number> = {
  levels: [{ "+": (a, b) => a + b, "-": (a, b) => a - b }, { "*": (a, b) => a * b }],
  prefix: {},
  atom: (token) => (/^-?\d+$/.test(token) ? Number(token) : undefined),
};

/** Truth values with or, xor, and, not; xor binds as or does. */
export const logic: Operators<boolean> = {
  levels: [{ or: (a, b) => a || b, xor: (a, b) => a !== b }, { and: (a, b) => a && b }],
  prefix: { not: (a) => !a },
  atom: (token) => ({ True: true, False: false })[token],
};

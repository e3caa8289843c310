// Question: how do the operands of an operation have names?
//
// An operation lists the names of its inputs and of its outputs, such as ["x", "h"] and ["u"]. Code that handles one
// node uses the names; code that walks a graph uses lists in the order of the names. A last name such as "...parts"
// stands for any number of tensors, which are a list under the name "parts".

/** Names of operands, in order. */
export type Names = readonly string[];

/** A value for every name, or a list if the name begins with "...". If N is not known, any value under any name. */
export type Named<N extends Names, T> = string extends N[number]
  ? Readonly<Record<string, T | readonly T[]>>
  : { readonly [K in N[number] as PlainName<K>]: K extends `...${string}` ? readonly T[] : T };

type PlainName<K extends string> = K extends `...${infer Plain}` ? Plain : K;

/** Turn a list of values into an object by their names. */
export function named<N extends Names, T>(names: N, list: readonly T[]): Named<N, T> {
  const values: Record<string, T | readonly T[]> = {};
  for (const [index, name] of names.entries()) {
    if (name.startsWith("...")) values[name.slice(3)] = list.slice(index);
    else values[name] = list[index] as T;
  }
  return values as Named<N, T>;
}

/** Turn named values into a list, in the order of the names. */
export function listed<T>(names: Names, values: Named<Names, T>): T[] {
  return names.flatMap((name) => values[name.startsWith("...") ? name.slice(3) : name] as T | readonly T[]);
}

// Question: how are the arguments of a kernel given by name?
//
// A signature (signatures.ts) names a kernel's pointers and words. Here the names are checked by their types, and put
// in the order of the signature, which is the order in memory.

import type { Buffer, Call, Operand, Word } from "../plan/calls.ts";
import { type Signature, signatures } from "./signatures.ts";

export type KernelName = keyof typeof signatures;

/** "name?" may be null, "...name" is a list. */
type Plain<N> = N extends `...${infer P}` ? P : N extends `${infer P}?` ? P : N;
type PointerKeys<K extends KernelName> = keyof (typeof signatures)[K]["pointers"] & string;
type WordKeys<K extends KernelName> = keyof (typeof signatures)[K]["words"] & string;

export type PointerName<K extends KernelName> = Plain<PointerKeys<K>>;

/** A value for every pointer of a kernel. */
export type Pointers<K extends KernelName, T> = {
  readonly [N in PointerKeys<K> as Plain<N>]: N extends `...${string}`
    ? readonly T[]
    : N extends `${string}?`
      ? T | undefined
      : T;
};

/** A value for every word of a kernel; how many elements make an item is known once the call's domain is. */
export type Words<K extends KernelName> = {
  readonly [N in WordKeys<K> as Plain<N>]: N extends `...${string}`
    ? readonly number[]
    : number | { readonly itemOf: Buffer };
};

/** For pointers that the kernel writes, those it reads that may lie in the same place; the first that fits is taken. */
export type InPlace<K extends KernelName> = {
  readonly [N in PointerName<K>]?: PointerName<K> | readonly PointerName<K>[];
};

/** What a call of a kernel needs. */
export interface KernelCall<K extends KernelName> extends Pick<
  Call,
  "domain" | "grain" | "lazy" | "prepares" | "repeated"
> {
  readonly kernel: K;
  readonly operands: Pointers<NoInfer<K>, Operand>;
  readonly words: Words<NoInfer<K>>;
  readonly inPlace?: InPlace<NoInfer<K>> | undefined;
  /** Of this call; the first call of an operation that does not say has the operation's. */
  readonly flops?: number;
}

const known: Readonly<Record<string, Signature>> = signatures;

function signatureOf(kernel: string): Signature {
  const signature = known[kernel];
  if (!signature) throw new Error(`signatures: there is no kernel ${kernel}.`);
  return signature;
}

/** Types let through a superfluous name in what a function returns; here none gets by. */
function expectNames(kernel: string, given: object, allowed: readonly string[]): void {
  for (const name of Object.keys(given)) {
    if (!allowed.includes(name)) throw new Error(`${kernel}: its signature has no ${name}; see signatures.ts.`);
  }
}

/** Operands in their order; a null pointer ends a list. */
export function operandList<K extends KernelName, T>(kernel: K, operands: Pointers<K, T>): (T | undefined)[] {
  const named = operands as Readonly<Record<string, T | readonly T[] | undefined>>;
  return Object.keys(signatureOf(kernel).pointers).flatMap((key) => {
    const list = listName(key);
    return list === undefined
      ? [named[key.replace("?", "")] as T | undefined]
      : [...(named[list] as readonly T[]), undefined];
  });
}

/** Words in their order; an f64 is two. */
export function wordList<K extends KernelName>(kernel: K, words: Words<K>): Word[] {
  const named = words as Readonly<Record<string, number | readonly number[] | { readonly itemOf: Buffer }>>;
  const signed = Object.entries(signatureOf(kernel).words);
  expectNames(
    kernel,
    words,
    signed.map(([key]) => listName(key) ?? key),
  );
  return signed.flatMap(([key, type]): Word[] => {
    const value = named[listName(key) ?? key];
    if (typeof value === "object" && "itemOf" in value) return [value];
    const values = (typeof value === "object" ? value : [value]) as readonly number[];
    if (type === "i32") return values.map((i32) => ({ i32 }));
    if (type === "f32") return values.map((f32) => ({ f32 }));
    return [...new Int32Array(new Float64Array(values).buffer)].map((i32) => ({ i32 }));
  });
}

/** Pairs [read, write] of positions. */
export function inPlacePairs<K extends KernelName>(kernel: K, inPlace: InPlace<K>): (readonly [number, number])[] {
  const names = Object.keys(signatureOf(kernel).pointers).map((key) => key.replace("?", ""));
  const written = Object.entries(inPlace) as [string, string | readonly string[]][];
  return written.flatMap(([write, reads]) =>
    [reads].flat().map((read) => [names.indexOf(read), names.indexOf(write)] as const),
  );
}

/** Put the arguments of a call where a kernel is to find them, by itself and outside of a program. */
export function writeArguments<K extends KernelName>(
  memory: ArrayBufferLike,
  address: number,
  kernel: K,
  pointers: Pointers<K, number>,
  words: Words<K>,
): void {
  const [integers, floats] = [new Int32Array(memory), new Float32Array(memory)];
  let next = address / 4;
  for (const pointer of operandList(kernel, pointers)) integers[next++] = pointer ?? 0;
  for (const word of wordList(kernel, words)) {
    if ("itemOf" in word) throw new Error(`${kernel}: only a program knows how many elements make an item.`);
    if ("f32" in word) floats[next++] = word.f32;
    else integers[next++] = word.i32;
  }
}

function listName(key: string): string | undefined {
  return key.startsWith("...") ? key.slice(3) : undefined;
}

// Question: what are the arguments of every kernel?
//
// The arguments of a call are 32-bit words in memory: the pointers of its signature, then its scalars, in the order
// given here. The host gives them by name (call.ts), and kernels read them by name: `npm run build:kernels` writes a
// class for each signature to kernels/arguments.ts. A name that is missing or misspelled compiles on neither side.
//
// Beside a pointer stands the shape of what it points at. "name?" may be null. "...name" is a list: of pointers it
// ends with a null pointer, of words the kernel knows its length.
//
// Each family of kernels has a table in signatures/. They are plain literals, so that the types of the names follow from
// them.

import { elements } from "./signatures/elements.ts";
import { experts } from "./signatures/experts.ts";
import { layers } from "./signatures/layers.ts";
import { matrices } from "./signatures/matrices.ts";
import { optimizer } from "./signatures/optimizer.ts";
import { products } from "./signatures/products.ts";
import { streams } from "./signatures/streams.ts";

/** How a scalar lies among the words of a call; an f64 takes two of them. */
export type WordType = "i32" | "f32" | "f64";

export interface Signature {
  readonly pointers: Readonly<Record<string, string>>;
  readonly words: Readonly<Record<string, WordType>>;
}

/** Every kernel that a program calls. */
export const signatures: typeof elements &
  typeof products &
  typeof layers &
  typeof optimizer &
  typeof streams &
  typeof matrices &
  typeof experts = { ...elements, ...products, ...layers, ...optimizer, ...streams, ...matrices, ...experts };

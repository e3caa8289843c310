// Question: which connections can be chosen, and what is said of them?

import type { ConnectionKind } from "../../../../src/connections/table.ts";

interface KindEntry {
  readonly name: string;
  /** What a reader should know of it, in a line. */
  readonly about: string;
  /** The option that is chosen by number, and what it counts. */
  readonly counted?: { readonly option: "streams" | "fractions"; readonly symbol: string };
  /** Whether it has matrices that mix streams, and so gains. */
  readonly mixes: boolean;
}

const streams = { option: "streams", symbol: "n" } as const;

/** All connections of the library. */
export const kinds: Readonly<Record<ConnectionKind, KindEntry>> = {
  residual: {
    name: "Residual",
    about: "One stream, to which layers add: the plain transformer.",
    mixes: false,
  },
  hc: {
    name: "HC",
    about: "Several streams, mixed by matrices that nothing constrains.",
    counted: streams,
    mixes: true,
  },
  mhc: {
    name: "mHC",
    about: "Several streams, mixed by matrices of a set: those that only average, if nothing else is chosen.",
    counted: streams,
    mixes: true,
  },
  highway: {
    name: "Highway",
    about: "A gate in each channel decides between what a layer makes and what came in.",
    mixes: false,
  },
  dense: {
    name: "Dense",
    about: "A layer reads a learned average of everything before it, as in DenseFormer.",
    mixes: false,
  },
  frac: {
    name: "Frac-Connections",
    about: "HC without wider states: parts of one stream take the place of the streams.",
    counted: { option: "fractions", symbol: "m" },
    mixes: false,
  },
  "attention-residuals": {
    name: "Attention Residuals",
    about: "A layer reads the outputs of all layers before it, weighted by a softmax.",
    mixes: false,
  },
  "gated-residual": {
    name: "Gated residual",
    about: "Several streams that are read through gates, and never mixed.",
    counted: streams,
    mixes: false,
  },
};

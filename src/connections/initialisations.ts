// Question: which starts of mHC are there, by name?
//
// The paper gives α = 0.01 and nothing else, so every implementation chose a start. A start consists of the
// scale α, the values of φ (the part of the maps that depends on the token, at first about α φ x⃗'), and the
// bias of sublayer l: H_pre = σ(read), H_post = 2σ(write), H_res = Sinkhorn(res). docs/initialisation.md
// measures what each start does to a model.
//
// The start `pre-norm` is this library's own: it equals a residual model, and its gradients are not zero. Let
// the n streams be readers R (the first half, or all if there are fewer than four) and writers W (the rest). Start with
//   H_res  4 on the diagonal, 0 off it: all entries off the diagonal are equal
//   H_pre  any shares for R, the same share for every stream of W, the sum one
//   H_post 1 for R, any weights of mean one for W                                  φ = 0, α = 0.01
// Then after every sublayer  x_i = u for i in R  and  mean of W = u,  u the plain residual stream:
//   it holds for n copies of the embedding;
//   a sublayer reads  Σ_R pre_j u + pre_W Σ_W x_j = u;
//   row i of R: Σ_j H_ij x_j = u, because its entries over W are equal and its sum is one; plus 1 · F(u);
//   mean of W: the rows of W have equal column sums over W, and all their entries sum to |W|, so again u,
//   plus F(u) · mean of H_post over W = F(u).
// Hence the mean of all streams is u + F(u): the residual model, whatever the blocks are. Readers get unequal
// gradients of the state and writers have unequal states, so gradients of H_pre, H_post and (between the two
// groups) H_res differ between streams at once. With two or three streams all are readers. They all stay copies
// until the first update, whose gradient of H_res is zero, and differ from then on.

import type { Initial } from "../graph/parameters.ts";
import { ALPHA, identityMatrix, logit, mhcBias, PHI_DEVIATION, READ_OWN, RES_DIAGONAL } from "./initialisation.ts";

/** How the parameters of an mHC sublayer start. */
export interface Initialisation {
  /** All three scales α of the part that depends on the token. */
  readonly alpha: number;
  /** The values of φ with this many rows (coefficients) and columns (n·C). */
  phi(rows: number, columns: number): Initial;
  /** Logits [n] of H_pre in sublayer `index`. */
  read(n: number, index: number): number[];
  /** Logits [n] of H_post. */
  write(n: number, index: number): number[];
  /** Logits [n·n] of H_res, row-major; used where H_res is normalised from exp(logits), as in Sinkhorn-Knopp. */
  res(n: number): number[];
  /** The start in one line. */
  readonly meaning: string;
  /** Who uses it. */
  readonly source: string;
}

/** The names of all starts of mHC. */
export const initialisationNames = [
  "default",
  "pre-norm",
  "zero",
  "liger",
  "megatron",
  "lucidrains",
  "skyrl",
  "isohc",
  "mhc-lite",
  "gpt2-equivalent",
  "hy4-ihc",
  "hyper-connections",
] as const;

/** One of the names of `initialisations`. */
export type InitialisationName = (typeof initialisationNames)[number];

/** The largest share that a stream gets, because no sigmoid reaches one. */
const LARGEST = 1 - 2 ** -24;

const all = (n: number, value: number): number[] => Array<number>(n).fill(value);
const ownAndOthers = (n: number, index: number, own: number, others: number): number[] =>
  Array.from({ length: n }, (_, i) => (i === index % n ? own : others));
const equalShares = (n: number): number[] => all(n, logit(Math.min(1 / n, LARGEST)));
const zeros = (n: number): number[] => all(n, 0);
/** 0 on the diagonal, `below` off it. */
const offDiagonal =
  (below: number) =>
  (n: number): number[] =>
    identityMatrix(n, -below).map((value) => value + below);

const nothing = (): Initial => ({ constant: 0 });
const normal = (): Initial => ({ normal: PHI_DEVIATION });

/** Streams 0 … readers − 1 are the readers of the start `pre-norm`, the others its writers. */
export const readersOf = (n: number): number => (n < 4 ? n : Math.floor(n / 2));
const WRITE_LOGIT = Math.log(4); // 2σ = 1.6 and, with the other sign, 0.4

function readersAndWritersRead(n: number, index: number): number[] {
  const readers = readersOf(n);
  if (readers === 1) return equalShares(n);
  const reader = index % readers;
  const share = (i: number): number => (i === reader ? READ_OWN : (1 - READ_OWN) / (readers - 1)) * (readers / n);
  return Array.from({ length: n }, (_, i) => logit(i < readers ? share(i) : 1 / n));
}

/**
 * One writer gets more and the next one less by the same amount: 2σ(w) + 2σ(−w) = 2 however w is rounded. The
 * pair moves on from sublayer to sublayer, so no two writers are alike in all of them.
 */
function readersAndWritersWrite(n: number, index: number): number[] {
  const readers = readersOf(n),
    writers = n - readers;
  const writer = index % writers;
  return Array.from({ length: n }, (_, i) => {
    if (i - readers === writer) return WRITE_LOGIT;
    return i - readers === (writer + 1) % writers ? -WRITE_LOGIT : 0;
  });
}

/** Every start of mHC by name; docs/initialisation.md measures what each does to a model. */
export const initialisations: Readonly<Record<InitialisationName, Initialisation>> = {
  default: {
    alpha: ALPHA,
    phi: normal,
    read: (n, index) => mhcBias(n, index, []).slice(0, n),
    write: (n, index) => mhcBias(n, index, []).slice(n),
    res: (n) => identityMatrix(n, RES_DIAGONAL),
    meaning: "streams differ in what they read and write; blocks are added to their mean with weight one",
    source: "this library",
  },
  "pre-norm": {
    alpha: ALPHA,
    phi: nothing,
    read: readersAndWritersRead,
    write: readersAndWritersWrite,
    res: (n) => identityMatrix(n, RES_DIAGONAL),
    meaning: "computes the residual model exactly, with streams that differ",
    source: "this library",
  },
  zero: {
    alpha: ALPHA,
    phi: normal,
    read: zeros,
    write: zeros,
    res: (n) => zeros(n * n),
    meaning: "b = 0",
    source: "hyper-connection-factory, mHC.cu, examples of TransformerEngine",
  },
  liger: {
    alpha: 1,
    phi: normal,
    read: zeros,
    write: zeros,
    res: (n) => zeros(n * n),
    meaning: "b = 0, α = 1",
    source: "linkedin/Liger-Kernel",
  },
  megatron: {
    alpha: ALPHA,
    // Glorot and Bengio's variance; uniform there, normal here.
    phi: (rows, columns) => ({ normal: Math.sqrt(2 / (rows + columns)) }),
    read: zeros,
    write: zeros,
    res: (n) => zeros(n * n),
    meaning: "b = 0, φ of Glorot's (Xavier's) variance",
    source: "NVIDIA/Megatron-LM",
  },
  lucidrains: {
    alpha: ALPHA,
    phi: nothing,
    read: (n, index) => ownAndOthers(n, index, 1, 0),
    write: (n) => all(n, 1),
    res: (n) => identityMatrix(n, 1),
    meaning: "b_res = I, b_pre one-hot, b_post = 1",
    source: "lucidrains/hyper-connections",
  },
  skyrl: {
    alpha: 0,
    phi: normal,
    read: equalShares,
    write: zeros,
    res: (n) => identityMatrix(n, 3),
    meaning: "b_res = 3 I, reads the mean, α = 0",
    source: "SkyRL tx",
  },
  isohc: {
    alpha: ALPHA,
    phi: normal,
    read: equalShares,
    write: zeros,
    res: (n) => identityMatrix(n, 4),
    meaning: "b_res = 4 I (theirs), reads the mean and writes 1 (this library's choice, since the source gives none)",
    source: "IsoHC, sHC (bias 4)",
  },
  "mhc-lite": {
    alpha: ALPHA,
    phi: nothing,
    read: (n, index) => ownAndOthers(n, index, 1, -1),
    write: (n, index) => ownAndOthers(n, index, 1, -1),
    res: offDiagonal(-8),
    meaning: "b_res 0 and −8, b_pre and b_post 1 for one stream and −1 for the others",
    source: "FFTYYY/mhc-lite, its mHC",
  },
  "gpt2-equivalent": {
    alpha: 0,
    phi: nothing,
    read: equalShares,
    write: zeros,
    res: offDiagonal(-50),
    meaning: "b_res 0 and −50, reads the mean, φ = 0 and α = 0",
    source: "MarcoDotIO, init_gpt2_equivalence",
  },
  "hy4-ihc": {
    alpha: ALPHA,
    phi: normal,
    read: equalShares,
    write: zeros,
    res: offDiagonal(-50),
    meaning: "H_res = I for good (residualMap identity says the same for less), reads the mean",
    source: "Hy4-iHC",
  },
  "hyper-connections": {
    alpha: ALPHA,
    phi: nothing,
    read: (n, index) => (n === 1 ? equalShares(n) : ownAndOthers(n, index, 0.999, 0.001 / (n - 1)).map(logit)),
    write: zeros,
    res: offDiagonal(-8),
    meaning: "the start of HC, as near as sigmoids come: reads one stream, writes 1, H_res near I",
    source: "HC (arXiv 2409.19606), in mHC's maps",
  },
};

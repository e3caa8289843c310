// Question: which conventions are there, by name?
//
// The values come from the papers and the released code; docs/conventions.md is written from them.

import { hasEntry } from "../../basics/objects.ts";
import { paperCoefficients } from "../../ops/manifold-coefficients.ts";
import type { SinkhornForm } from "../../ops/sinkhorn-form.ts";
import type { Convention, HcConvention, MhcConvention } from "./convention.ts";

/** Row softmax + ε, then columns and rows in turn, columns last, with ε added to every sum. */
const softmaxStart: SinkhornForm = {
  start: "softmax",
  last: "columns",
  epsilon: 1e-6,
  guard: "added",
  transposed: false,
};

const slices = ["pre", "post", "res"] as const;
const notStated = { alpha: "not stated", phi: "not stated", bias: "not stated" };
const deepseekNames = {
  phi: "hc_attn_fn, hc_ffn_fn, hc_head_fn [rows, nC]",
  alpha: "hc_attn_scale, hc_ffn_scale [3], hc_head_scale [1]",
  bias: "hc_attn_base, hc_ffn_base, hc_head_base",
};

/** The conventions of mHC, the paper's first. */
export const mhcConventionNames = ["paper", "deepseek-v4", "deepseek-v4.1", "liger", "megatron"] as const;
/** A convention of mHC. */
export type MhcConventionName = (typeof mhcConventionNames)[number];

/** The conventions of HC. */
export const hcConventionNames = ["hc-static", "hc-dynamic", "hc-dynamic-no-tanh"] as const;
/** A convention of HC. */
export type HcConventionName = (typeof hcConventionNames)[number];

/** One of the names of `conventions`. */
export type ConventionName = MhcConventionName | HcConventionName;

/** The names of all conventions, those of mHC first. */
export const conventionNames: readonly ConventionName[] = [...mhcConventionNames, ...hcConventionNames];

/** Whether a convention is one of mHC. */
export function isMhcConvention(name: ConventionName): name is MhcConventionName {
  return hasEntry(mhcConventions, name);
}

export const mhcConventions: Readonly<Record<MhcConventionName, MhcConvention>> = {
  paper: {
    family: "mhc",
    meaning: "exp, columns first, rows last, no epsilon; the end of the streams is left open",
    source: "mHC (arXiv 2512.24880), Eq. 7 to 9 and 14 to 19, Table 5",
    norm: { epsilon: 1e-20, added: "mean square" },
    form: paperCoefficients,
    slices,
    reads: "own",
    ends: ["mean", "sum", "learned"],
    names: { phi: "phi [rows, nC]", alpha: "alpha [3]", bias: "bias" },
    start: { alpha: "0.01", phi: "not stated", bias: "not stated" },
  },
  "deepseek-v4": {
    family: "mhc",
    meaning: "softmax start, three epsilons, columns last but applied transposed, a learned head",
    source: "DeepSeek-V4 (arXiv 2606.19348), released inference code; TileKernels, HF transformers",
    norm: { epsilon: 1e-6, added: "mean square" },
    form: { readEpsilon: 1e-6, writeScale: 2, res: { ...softmaxStart, transposed: true } },
    slices,
    reads: "own",
    ends: ["learned"],
    names: deepseekNames,
    start: notStated,
  },
  "deepseek-v4.1": {
    family: "mhc",
    meaning: "deepseek-v4 in a single pass: reads with what the previous sublayer computed, ends the same way",
    source: "DeepSeek-V4.1 (arXiv 2609.19969), section 2.4.1, released inference code",
    norm: { epsilon: 1e-20, added: "mean square" },
    form: { readEpsilon: 1e-6, writeScale: 2, res: { ...softmaxStart, transposed: true } },
    slices,
    reads: "previous",
    ends: ["carried"],
    names: deepseekNames,
    start: notStated,
  },
  liger: {
    family: "mhc",
    meaning: "the released iteration, but applied as it is: columns sum to one, rows come close",
    source: "linkedin/Liger-Kernel, LigerMHC",
    norm: { epsilon: 1e-6, added: "mean square" },
    form: { readEpsilon: 0, writeScale: 2, res: softmaxStart },
    slices,
    reads: "own",
    ends: ["mean", "sum", "learned"],
    names: { phi: "phi [nC, rows]", alpha: "alpha_pre, alpha_post, alpha_res", bias: "b" },
    start: { alpha: "1", phi: "normal, deviation 0.02", bias: "0" },
  },
  megatron: {
    family: "mhc",
    meaning: "exp, rows first, columns last, sums at least 1e-6, applied as it is; the mean at the end",
    source: "NVIDIA/Megatron-LM, HyperConnectionModule as merged in #4531",
    norm: { epsilon: 1e-6, added: "root" },
    form: {
      readEpsilon: 0,
      writeScale: 2,
      res: { start: "exp", last: "columns", epsilon: 1e-6, guard: "floor", transposed: false },
    },
    slices,
    reads: "own",
    ends: ["mean"],
    names: { phi: "mapping_proj.weight [rows, nC]", alpha: "alpha_pre, alpha_post, alpha_res", bias: "bias" },
    start: { alpha: "0.01", phi: "Xavier, uniform", bias: "0" },
  },
};

const hcNames = { phi: "theta [n + 2, C]", alpha: "alpha [3]", bias: "bias" };
const hcStart = { alpha: "0.01", phi: "0", bias: "reads stream l mod n, writes 1, H_res = I" };

export const hcConventions: Readonly<Record<HcConventionName, HcConvention>> = {
  "hc-static": {
    family: "hc",
    meaning: "the coefficients are the bias, the same for every token",
    source: "HC (arXiv 2409.19606), static form",
    dynamic: false,
    tanh: false,
    ends: ["sum", "mean"],
    names: hcNames,
    start: { ...hcStart, alpha: "none", phi: "none" },
  },
  "hc-dynamic": {
    family: "hc",
    meaning: "α tanh(θ x̃) + b, x̃ each stream normalised by itself",
    source: "HC (arXiv 2409.19606), dynamic form, as restated in Eq. 5 of mHC",
    dynamic: true,
    tanh: true,
    ends: ["sum", "mean"],
    names: hcNames,
    start: hcStart,
  },
  "hc-dynamic-no-tanh": {
    family: "hc",
    meaning: "α θ x̃ + b",
    source: "HC (arXiv 2409.19606), the variant without tanh",
    dynamic: true,
    tanh: false,
    ends: ["sum", "mean"],
    names: hcNames,
    start: hcStart,
  },
};

/** Every convention by name; docs/conventions.md sets them side by side. */
export const conventions: Readonly<Record<ConventionName, Convention>> = {
  ...mhcConventions,
  ...hcConventions,
};

// Write docs/conventions.md from the values in src/connections/conventions/.
// Run: node scripts/document-conventions.ts

import { writeFileSync } from "node:fs";
import { markdownTable } from "./markdown.ts";
import {
  conversion,
  conversionDifference,
  ConversionError,
  lastLines,
} from "../src/connections/conventions/convert.ts";
import {
  type ConventionName,
  hcConventionNames,
  hcConventions,
  type MhcConventionName,
  mhcConventionNames,
  mhcConventions,
} from "../src/connections/conventions/table.ts";
import { randomProbe, randomWeights } from "../src/interop/probes.ts";

const STREAMS = 4;
const CHANNELS = 64;
const TOKENS = 64;

const code = (name: string): string => `\`${name}\``;
const epsilon = (value: number): string => (value === 0 ? "none" : value.toExponential().replace("e-0", "e-"));

function normOf(name: MhcConventionName): string {
  const { norm } = mhcConventions[name];
  return norm.added === "root" ? `1 / (rms + ${epsilon(norm.epsilon)})` : `1 / √(mean x² + ${epsilon(norm.epsilon)})`;
}

function sinkhornOf(name: MhcConventionName): string {
  const { start, last, epsilon: e, guard } = mhcConventions[name].form.res;
  const first = last === "rows" ? "columns" : "rows";
  const begin = start === "softmax" ? `softmax of rows + ${epsilon(e)}, columns` : `exp, ${first}, ${last}`;
  const turns = `then ${first} and ${last} in turn`;
  const guarded =
    e === 0 ? "no epsilon" : guard === "added" ? `every sum + ${epsilon(e)}` : `sums at least ${epsilon(e)}`;
  return `${begin}, ${turns}; ${guarded}`;
}

function gatesOf(name: MhcConventionName): string {
  const { readEpsilon, writeScale } = mhcConventions[name].form;
  return `σ${readEpsilon === 0 ? "" : ` + ${epsilon(readEpsilon)}`}, ${writeScale}σ`;
}

const used = (name: MhcConventionName): string =>
  mhcConventions[name].form.res.transposed ? "transposed" : "as it is";
const reads = { own: "its own", previous: "the previous sublayer's; the first reads stream 0" };
const endings = {
  mean: "mean",
  sum: "sum",
  learned: "learned, σ(α φ x⃗' + b) + ε",
  carried: "read with the last sublayer's pre",
};

/** How far apart two conventions are on random weights and streams, for logits of about this deviation. */
function apart(from: ConventionName, to: ConventionName, deviation: number): string {
  if (from === to) return "0";
  try {
    const weights = randomWeights(STREAMS, CHANNELS, deviation);
    const { coefficients } = conversionDifference(
      { convention: from, weights },
      { convention: to, weights: conversion(from, to).sublayer(weights) },
      randomProbe({ tokens: TOKENS, streams: STREAMS, channels: CHANNELS }),
    );
    return coefficients.toExponential(0);
  } catch (error) {
    if (error instanceof ConversionError) return "refused";
    throw error;
  }
}

function differences(deviation: number): string {
  return markdownTable(
    ["from \\ to", ...mhcConventionNames.map(code)],
    mhcConventionNames.map((from) => [code(from), ...mhcConventionNames.map((to) => apart(from, to, deviation))]),
  );
}

function refusals(): string {
  const reasons = new Map<string, string>();
  for (const [from, to] of [
    ["deepseek-v4.1", "paper"],
    ["hc-dynamic", "paper"],
  ] as const) {
    try {
      conversion(from, to);
    } catch (error) {
      reasons.set(`${from} → ${to}`, (error as Error).message);
    }
  }
  return [...reasons.values()].map((reason) => `- ${reason}`).join("\n");
}

/** The page, made from the values and measured anew. */
export function conventionsPage(): string {
  return `# Whose formulas exactly

The mHC paper fixes the formulas. It does not say what prevents a division by zero, where the parameters start or how the streams end, and released code has changed some of the formulas. A *convention* is a named value that settles all of this (\`src/connections/conventions/table.ts\`). \`mhc({ convention })\`, \`--convention\` and the field \`model.connection.convention\` of a configuration choose one; the default is \`paper\`. The forms of HC are \`hc\` with its options \`dynamic\` and \`tanh\`.

This page is written by \`npx node scripts/document-conventions.ts\`, and a test holds it to the values.

## mHC

${markdownTable(
  ["name", "in a line", "source"],
  mhcConventionNames.map((name) => [code(name), mhcConventions[name].meaning, mhcConventions[name].source]),
)}

${markdownTable(
  [
    "name",
    "norm of a token",
    "pre, post",
    "Sinkhorn-Knopp",
    "applied",
    "of H_res, last and so exact",
    "reads with",
    "end of the streams",
  ],
  mhcConventionNames.map((name) => [
    code(name),
    normOf(name),
    gatesOf(name),
    sinkhornOf(name),
    used(name),
    lastLines(name),
    reads[mhcConventions[name].reads],
    mhcConventions[name].ends.map((end) => endings[end]).join(" or "),
  ]),
)}

All of them order the rows of φ and the bias ${mhcConventions.paper.slices.join(" | ")}, do 20 iterations, start from n copies of the embedding, and do not divide the bias by the norm.

\`convert\`, \`lint\` and \`inspect\` read the names of all of them, and \`convert\` writes those of the new convention (\`--names\` chooses others). Liger's module has the name that a program gives it; \`attn_mhc\` and \`ffn_mhc\` are written, and any name with attn, attention, ffn, mlp or moe in it is read.

The names in stored weights, and where each value starts (this library's own starts are in [initialisation.md](initialisation.md); a convention does not change them):

${markdownTable(
  ["name", "φ", "α", "b", "α starts at", "φ starts at", "b starts at"],
  mhcConventionNames.map((name) => {
    const { names, start } = mhcConventions[name];
    return [code(name), names.phi, names.alpha, names.bias, start.alpha, start.phi, start.bias];
  }),
)}

## HC

${markdownTable(
  ["name", "in a line", "option of `hc`", "source", "end of the streams"],
  hcConventionNames.map((name) => {
    const { meaning, source, dynamic, tanh, ends } = hcConventions[name];
    const option = dynamic ? (tanh ? "none" : "`tanh: false`") : "`dynamic: false`";
    return [code(name), meaning, option, source, ends.map((end) => endings[end]).join(" or ")];
  }),
)}

## From one to another

\`conversion(from, to)\` and \`birkhoff convert\` rewrite weights so that they compute the same function. Between conventions that apply Sinkhorn's matrix as it is and those that apply it transposed, the res rows of φ and the res part of the bias are transposed (row j, column k goes to row k, column j); everything else stays. Converting there and back is the identity.

If two conventions normalise the same lines of H_res last, their functions differ only by epsilons. If not, both approach the same matrix as iterations grow, and differ by the error that 20 iterations leave. This table shows the largest difference of any coefficient, measured in float64 over ${TOKENS} random tokens at n = ${STREAMS}, for logits of deviation 1:

${differences(1)}

and for logits of deviation 4, for which 20 iterations are too few, and 1e-6 is no longer small compared with the smallest entries of a softmax:

${differences(4)}

These conversions are refused, because no weights can express them:

${refusals()}
- A learned end cannot be written where the streams end by their mean (\`megatron\`), because its weights depend on the token. In the other direction, a mean becomes a learned end with φ = 0, which computes it exactly up to rounding.
- HC with tanh cannot be written as HC without it, nor a dynamic one as a static one, unless θ or α is zero.

## Is a file what it says?

Sinkhorn-Knopp makes any logits doubly stochastic, so a residual map that was transposed by mistake is as stochastic as the right one; only its coefficients are wrong, by 0.1 and more. \`birkhoff lint FILE\` says for each check what it measured: shapes, values that are not finite, 16-bit storage, the order of the slices (recognised by the position of the large entries of the bias), how far the maps of random tokens are from doubly stochastic, saturation, and the orientation of the maps. For the orientation there are four kinds of evidence; the last two need more than the weights:

| evidence | what it needs | how sure |
| --- | --- | --- |
| which lines of recorded maps sum to one exactly | tensors named h_res or comb in the file | certain |
| a trained row i ← j of φ has more energy over its source stream than over its target | the weights | a statistic over all sublayers; the small models tried here stay undecided |
| the same weights in another file, as they are, transposed, or sliced otherwise | \`--against FILE\` | certain: weights that compute something else are an error, with the order, scale or sign that would explain it. Embeddings, blocks and the head are compared by name, too; what was not compared is said |
| the loss of the model with its maps as they are and transposed, on the text it was trained on | a run folder, or \`--run FOLDER\` | a paired statistic, decided at four standard errors, if the loss changes by more than a hundred-thousandth |
`;
}

if (process.argv[1] === import.meta.filename) {
  writeFileSync(new URL("../docs/conventions.md", import.meta.url), conventionsPage());
}

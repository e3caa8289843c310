// Write docs/initialisation.md: what every start of mHC makes of a model, measured.
// Run: node scripts/document-initialisation.ts

import { writeFileSync } from "node:fs";
import { markdownTable } from "./markdown.ts";
import { hc } from "../src/connections/hc.ts";
import { initialisationNames, initialisations } from "../src/connections/initialisations.ts";
import { mhc } from "../src/connections/mhc.ts";
import { measureStart, type Start } from "../src/study/start.ts";

const STREAMS = 4;
/** Below this a value is rounding. */
const ROUNDING = 1e-11;

interface Row {
  readonly name: string;
  readonly start: Start;
}

const digits = (value: number, count = 3): string => {
  if (Math.abs(value) < ROUNDING) return "0";
  return Math.abs(value) < 1e-3 ? value.toExponential(1) : String(Number(value.toPrecision(count)));
};
/** Close to one, what is missing matters. */
const share = (value: number): string => (value > 0.99 && value < 1 - ROUNDING ? value.toFixed(5) : digits(value));

function told({ start: { symmetry, alive } }: Row): string {
  if (symmetry.fixed > ROUNDING) return "by the bias";
  if (symmetry.started > ROUNDING) return `by φ: ${digits(symmetry.started, 1)}`;
  return alive.alpha ? "by φ, once α has moved" : "never";
}

function answer({ start: { alive } }: Row): string {
  const dynamic = alive.phi && alive.alpha ? "φ, α" : alive.phi ? "φ" : alive.alpha ? "α" : "neither";
  return `${dynamic}${alive.res ? ", H_res" : ""}`;
}

const fixed = (a: number, b: number): string =>
  digits(a, 2) === digits(b, 2) ? digits(a, 2) : `${digits(a, 2)}; ${digits(b, 2)}`;

/** The page, measured anew. */
export function initialisationPage(): string {
  const rows: Row[] = initialisationNames.map((name) => ({
    name,
    start: measureStart(mhc({ streams: STREAMS, initialisation: name })),
  }));
  const all: Row[] = [...rows, { name: "HC itself", start: measureStart(hc({ streams: STREAMS })) }];
  const code = ({ name }: Row): string => (name in initialisations ? `\`${name}\`` : name);

  return `# How mHC starts

The paper gives α = 0.01 and nothing else: neither φ nor the biases. Every implementation has chosen its own start. They differ in whether the model begins as a residual network, whether it can distinguish its streams, and whether its mixers can learn. \`mhc({ initialisation })\`, \`--initialisation\` and the field \`model.connection.initialisation\` of a configuration choose one by name; without a choice it is \`default\`. They are defined in \`src/connections/initialisations.ts\`.

This page is written by \`npx node scripts/document-initialisation.ts\`: every number below is measured by \`measureStart\` (\`src/study/start.ts\`) in float64, at n = ${STREAMS}, and a test checks the page.

## What they are

${markdownTable(
  ["name", "start", "φ", "α", "whose"],
  initialisationNames.map((name) => {
    const { alpha, phi, meaning, source } = initialisations[name];
    const initial = phi(STREAMS * (STREAMS + 2), 1024);
    const spread =
      "normal" in initial ? (initial.normal === 0.02 ? "normal, 0.02" : "normal, √(2 / (n² + 2n + nC))") : "0";
    return [`\`${name}\``, meaning, spread, String(alpha), source];
  }),
)}

With other choices for H_res than Sinkhorn-Knopp and row softmax ([manifolds.md](manifolds.md)) only φ, α, the read and the write are taken from the start; the map decides how H_res starts.

## What becomes of the streams

The table shows H_res of one sublayer with φ = 0, its |λ₂| (how much of a difference between streams is left after one sublayer), and the product over 60 sublayers. If the product is the same on the diagonal and off it, the streams have become their mean. Σ H_pre is how many times a block reads the mean of equal streams. The mean of H_post is how much of the block's output the mean of the streams gets.

${markdownTable(
  ["name", "diagonal", "off it", "\\|λ₂\\|", "\\|λ₂\\|^60", "product: diagonal", "off it", "Σ H_pre", "mean H_post"],
  all.map((row) => {
    const { mixing, second, product, read, write } = row.start;
    return [
      code(row),
      share(mixing.diagonal),
      digits(mixing.offDiagonal),
      share(second),
      digits(second ** 60, 2),
      digits(product.diagonal),
      digits(product.offDiagonal),
      digits(read),
      digits(write),
    ];
  }),
)}

## Is it the residual model, and can it learn?

*Difference*: a stack of 60 sublayers x + tanh(RMSNorm(x) W) against the same stack with plain residual connections, the largest difference of the normalised end as a share of its largest value; where φ is random, first with φ = 0 and then as it starts. *No norm*: the same for blocks tanh(x W), which see the scale of what they read. 0 means equal up to rounding. The blocks' outputs are about as large as the streams that they are first added to; in a language model, which starts with small ones, differences are smaller.

*Streams differ*: what makes the gradients of the streams differ, so that equal streams do not stay copies of each other for ever. *Gradient*: which of φ, α and the logits of H_res have a gradient in the first step (the biases of H_pre and H_post always do). A zero φ holds back α for one step, a zero α holds back φ; both zero stay zero for ever.

${markdownTable(
  ["name", "difference", "no norm", "streams differ", "gradient"],
  all.map((row) => {
    const { difference, bare } = row.start;
    return [
      code(row),
      fixed(difference.fixed, difference.started),
      fixed(bare.fixed, bare.started),
      told(row),
      answer(row),
    ];
  }),
)}

## What to read from it

- Copies of one stream stay copies under *any* mixer whose rows sum to one, as long as every stream is written with weight 1. So a start need not have H_res = I to be exactly the residual model. Blocks that normalise their input cannot tell whether they read the sum of the streams or their mean, so \`zero\` is the residual model up to φ. It only lacks any difference between the streams.
- \`gpt2-equivalent\` is exact and its streams never differ: φ and α are both zero, so neither ever gets a gradient, and neither do the logits of H_res. \`skyrl\` is exact, and its streams begin to differ through a random φ as soon as α has moved.
- \`pre-norm\` is exact and its streams differ at once, with a gradient for H_res from the first step where n is 4 or more. The proof is at the head of \`src/connections/initialisations.ts\`. Upcycling a trained residual model starts from it.
- \`mhc-lite\`, \`gpt2-equivalent\` and \`hy4-ihc\` keep H_res at the identity by saturating it, which also keeps it from moving: an entry h of the mixer moves by h (1 − h) times what its logit moves.

## Upcycling

A trained residual model can get streams and compute exactly what it did. \`birkhoff convert runs/plain runs/streams --to mhc\` copies all its weights and the moments of its optimizer, adds maps that start as \`pre-norm\` (\`--to hc\`: as HC does), joins the streams by their mean, and measures the largest difference between the logits of the two models. If it is above 1e-5 of the largest logit (or of one, if all are smaller), the command refuses and writes nothing. \`birkhoff train --resume runs/streams\` continues from the old run's step, with all maps learning. In a program it is \`upcycle\` (\`src/interop/upcycle.ts\`). The field \`upcycledFrom\` of the run's \`config.json\` records its origin.
`;
}

if (import.meta.main) {
  writeFileSync(new URL("../docs/initialisation.md", import.meta.url), initialisationPage());
}

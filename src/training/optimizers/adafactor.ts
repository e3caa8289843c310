// Question: how does Adafactor move a parameter (Shazeer and Stern 2018, arXiv 1804.04235)?
//
//   matrices [..., R, C]:  r' = β r + (1 − β) mean_C g²,  c' = β c + (1 − β) mean_R g²,  v̂ = r' c' / max(mean r', ε₁)
//   vectors:               v̂ = v' = β v + (1 − β) g²
//   u = g / √max(v̂, ε₁²),  p' = (1 − η λ) p − α u / max(1, rms(u) / d)
//   α = max(ε₂, rms(p)) · ρ,  ρ = min(η, 1 / √t),  1 − β = t^−decay
//
// As torch.optim.Adafactor. A matrix keeps R + C numbers in place of R · C; a step is a share of the parameter's own size,
// so η is one for all. schedule = η, ρ, 1 − β.

import { lastAxis, type Shape, sizeOf, type Tensor } from "../../graph/tensor.ts";
import { add, divide, multiply, reciprocal, scale, shift, sqrt, square, subtract } from "../../ops/elementwise.ts";
import { fill } from "../../ops/fill.ts";
import { entry } from "../../ops/masks.ts";
import { permute } from "../../ops/permute.ts";
import { broadcast, broadcastLast, meanLast } from "../../ops/reductions.ts";
import { reshape } from "../../ops/reshape.ts";
import { select } from "../../ops/select.ts";
import { sumSquares } from "../../ops/sum-squares.ts";
import { hasMatrices, type OptimizerEntry, ruleOf } from "./rule.ts";
import { setting } from "./setting-rules.ts";

/** Adafactor (Shazeer and Stern 2018, arXiv 1804.04235), as torch.optim.Adafactor. */
export interface AdafactorRule {
  readonly kind: "adafactor";
  /** How fast the second moment forgets: 1 − β₂ = t^−decay. */
  readonly decay: number;
  /** ε₁, the least root of the second moment. */
  readonly epsilon: number;
  /** ε₂, the least size of a parameter, of which a step is a share. */
  readonly leastSize: number;
  /** d, the largest root mean square of an update before it is scaled down. */
  readonly threshold: number;
}

/** The larger of a tensor and a number; NaN stays NaN. */
const atLeast = (x: Tensor, least: number): Tensor => select(shift(negated(x), least), fill(x.shape, least), x);
const negated = (x: Tensor): Tensor => scale(x, -1);

/** √ of the mean of the squares: [...] → []. */
const rms = (x: Tensor): Tensor => sqrt(scale(reshape(sumSquares(x), []), 1 / sizeOf(x.shape)));

/** The last two axes exchanged. */
function turned(x: Tensor): Tensor {
  const axes = x.shape.map((_, axis) => axis);
  const [last, before] = [axes.pop()!, axes.pop()!];
  return permute(x, [...axes, last, before]);
}

/** r c / max(mean r, ε): r [..., R], c [..., C] → [..., R, C]. */
function outer(rows: Tensor, columns: Tensor, epsilon: number): Tensor {
  const [R, C] = [lastAxis(rows.shape), lastAxis(columns.shape)];
  const shares = divide(rows, broadcastLast(atLeast(meanLast(rows), epsilon), R));
  const [left, right] = [broadcastLast(shares, C), broadcastLast(columns, R)];
  return multiply(left, turned(right));
}

const shapesOf = (shape: Shape): Readonly<Record<string, Shape>> =>
  hasMatrices({ shape }) ? { rows: shape.slice(0, -1), columns: [...shape.slice(0, -2), shape.at(-1)!] } : { v: shape };

export const adafactorEntry: OptimizerEntry<AdafactorRule> = {
  kind: "adafactor",
  title: "second moments of rows and columns alone (arXiv 1804.04235)",
  usual: { learningRate: 0.1, weightDecay: 0 },
  settings: {
    decay: setting("decay").default(0.8),
    epsilon: setting("leastRoot").default(2 ** -23),
    leastSize: setting("leastSize").default(1e-3),
    threshold: setting("threshold").default(1),
  },
  schedule: (rate, step, { decay }) => [rate, Math.min(rate, 1 / Math.sqrt(step)), step ** -decay],
  rule: ({ shape }, { epsilon, leastSize, threshold }, weightDecay) =>
    ruleOf({
      states: shapesOf(shape),
      elementwise: undefined,
      next({ param, gradient, states, schedule }) {
        const follow = (mean: Tensor, towards: Tensor): Tensor =>
          add(mean, multiply(entry(schedule, 2, mean.shape), subtract(towards, mean)));
        const squares = square(gradient);
        const { rows, columns, v } = states;
        const next: Record<string, Tensor> =
          rows && columns
            ? { rows: follow(rows, meanLast(squares)), columns: follow(columns, meanLast(turned(squares))) }
            : { v: follow(v!, squares) };
        const variance = next["v"] ?? outer(next["rows"]!, next["columns"]!, epsilon);
        const direction = divide(gradient, sqrt(atLeast(variance, epsilon * epsilon)));
        const shrink = reciprocal(atLeast(scale(rms(direction), 1 / threshold), 1));
        const step = multiply(multiply(atLeast(rms(param), leastSize), entry(schedule, 1, [])), shrink);
        const kept =
          weightDecay === 0 ? param : subtract(param, multiply(entry(schedule, 0, shape), scale(param, weightDecay)));
        return { param: subtract(kept, multiply(broadcast(step, shape), direction)), states: next };
      },
    }),
};

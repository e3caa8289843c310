// Question: how do final losses depend on the compute of training?
//
// Runs of the same size (all but the connection and the seed the same) are one size; a
// point compares a connection with the residual model of that size, means over seeds. Compute is that of the
// residual model: floating-point operations of a token, forward and backward, times the tokens of the run,
// so that points of one size stand above each other, as in the mHC paper's Figure 6.

import { countFlops } from "../../planning/flops.ts";
import { architectureOf } from "../../planning/presets.ts";
import type { TrainingConfig } from "../../training/config.ts";
import type { RunData } from "../run-data.ts";
import { drawable, kindOf } from "./series.ts";

/** One size of a scaling experiment: a model with a connection, and the residual model trained alike. */
export interface ScalingPoint {
  readonly name: string;
  /** The connection, such as "manifold". */
  readonly kind: string;
  /** Of the whole training of the residual model. */
  readonly flops: number;
  /** Final losses, nats a token. */
  readonly loss: number;
  readonly baselineLoss: number;
}

/** A point for every connection but the residual at every size, by compute; sizes without a residual run have none. */
export function scalingPoints(runs: readonly RunData[]): ScalingPoint[] {
  const sizes = groupBy(runs, ({ config }) => config && JSON.stringify(sizeOf(config)));
  return [...sizes.values()]
    .flatMap((size) => {
      const connections = groupBy(size, ({ config }) => JSON.stringify(config!.model.connection));
      const baselineLoss = meanLoss(size.filter((run) => kindOf(run) === "residual"));
      if (baselineLoss === undefined) return [];
      const { model, steps, batch, accumulate } = size[0]!.config!;
      const tokens = steps * batch * accumulate * model.context;
      const name = `${model.layers} layers of width ${model.width}`;
      const flops = tokens * countFlops(architectureOf(name, model)).baseline.training;
      return [...connections.values()].flatMap((same): ScalingPoint[] => {
        const kind = kindOf(same[0]!);
        const loss = meanLoss(same);
        return kind === "residual" || loss === undefined ? [] : [{ name, kind, flops, loss, baselineLoss }];
      });
    })
    .sort((a, b) => a.flops - b.flops);
}

/** What runs of one size share: all but the connection, the seed and the name. */
function sizeOf({ name: _name, seed: _seed, data, model, ...rest }: TrainingConfig): unknown {
  const { connection: _connection, ...size } = model;
  return { ...rest, model: size, text: data.prepared?.text ?? data.source };
}

/** Mean of the last validation losses of runs that are finished. */
function meanLoss(runs: readonly RunData[]): number | undefined {
  const losses = runs
    .filter(({ config, metrics }) => config && metrics.at(-1)?.step === config.steps)
    .map(({ metrics }) => metrics.findLast(({ validationLoss }) => validationLoss !== undefined)?.validationLoss)
    .filter(drawable);
  return losses.length === 0 ? undefined : losses.reduce((a, b) => a + b, 0) / losses.length;
}

function groupBy<T>(items: readonly T[], keyOf: (item: T) => string | undefined): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    if (key !== undefined) groups.set(key, [...(groups.get(key) ?? []), item]);
  }
  return groups;
}

// Question: how do final losses depend on the compute of training?
//
// Runs that differ only in the connection and the seed are of one size. A point compares a connection with the residual
// model of that size, seed by seed where both have the seed. Compute is that of the residual model: floating-point
// operations of a token, forward and backward, times the tokens of the run. So points of one size have the same
// horizontal position, as in the mHC paper's Figure 6.

import { countFlops } from "../../planning/flops.ts";
import { architectureOf } from "../../planning/presets.ts";
import type { TrainingConfig } from "../../training/config.ts";
import { groupBy } from "../../runs/sweep/analysis.ts";
import type { RunData } from "../../runs/run-data.ts";
import { drawable, kindOf, sharedStart, shownName, type Spread, spreadOf } from "./series.ts";

/** One size of a scaling experiment: a model with a connection, against the residual model trained alike. */
export interface ScalingPoint {
  /** The name of the size. */
  readonly name: string;
  /** The label of the connection: its kind, or the common start of its runs' names if several have that kind. */
  readonly label: string;
  /** The kind of the connection, such as "mhc". */
  readonly kind: string;
  /** Floating-point operations of the residual model's whole training. */
  readonly flops: number;
  /** The number of runs with the connection. */
  readonly seeds: number;
  /** Final loss minus the residual model's, nats a token. */
  readonly gap: Spread;
  /** Final loss in percent of the residual model's. */
  readonly relative: Spread;
}

/** A point for every size and every connection but the residual, by compute. A size without a residual run has none. */
export function scalingPoints(runs: readonly RunData[]): ScalingPoint[] {
  const labels = labelsOf(runs);
  const sizes = groupBy(runs.filter(isFinished), ({ config }) => JSON.stringify(sizeOf(config!)));
  return [...sizes.values()]
    .flatMap((size) => {
      const baselines = size.filter((run) => kindOf(run) === "residual" && finalLoss(run) !== undefined);
      if (baselines.length === 0) return [];
      const usual = spreadOf(baselines.map((run) => finalLoss(run)!)).mean;
      const { model, steps, batch, accumulate } = size[0].config!;
      const tokens = steps * batch * accumulate * model.context;
      const name = `${model.layers} layers of width ${model.width}`;
      const flops = tokens * countFlops(architectureOf(name, model)).baseline.training;
      return [...groupBy(size, connectionOf)].flatMap(([connection, same]): ScalingPoint[] => {
        const kind = kindOf(same[0]);
        const pairs = same.flatMap((run) => {
          const loss = finalLoss(run);
          const twin = baselines.find(({ config }) => config!.seed === run.config!.seed);
          return loss === undefined ? [] : [{ loss, baseline: (twin && finalLoss(twin)) ?? usual }];
        });
        if (kind === "residual" || pairs.length === 0) return [];
        const gap = spreadOf(pairs.map(({ loss, baseline }) => loss - baseline));
        const relative = spreadOf(pairs.map(({ loss, baseline }) => (100 * loss) / baseline));
        return [{ name, label: labels.get(connection)!, kind, flops, seeds: pairs.length, gap, relative }];
      });
    })
    .sort((a, b) => a.flops - b.flops);
}

/** The points of an experiment over sizes: one for each connection and size. Without several sizes there are none. */
export function experimentOverSizes(runs: readonly RunData[]): ScalingPoint[] {
  const points = scalingPoints(runs);
  const sizes = new Set(points.map(({ flops }) => flops));
  const places = new Set(points.map(({ label, flops }) => `${label} ${flops}`));
  return sizes.size > 1 && places.size === points.length ? points : [];
}

function labelsOf(runs: readonly RunData[]): Map<string, string> {
  const connections = [
    ...groupBy(
      runs.filter(({ config }) => config),
      connectionOf,
    ),
  ];
  const kinds = connections.map(([, same]) => kindOf(same[0]));
  return new Map(
    connections.map(([connection, same], index) => {
      const several = kinds.filter((kind) => kind === kinds[index]).length > 1;
      return [connection, shownName(several ? sharedStart(same.map(({ name }) => name)) : kinds[index]!)];
    }),
  );
}

/** Of a run whose configuration is known. */
const connectionOf = ({ config }: RunData): string => JSON.stringify(config!.model.connection);

const isFinished = ({ config, metrics }: RunData): boolean =>
  config !== undefined && metrics.at(-1)?.step === config.steps;

/** Everything that runs of one size share: all but the connection, the seed and the name. */
function sizeOf({ name: _name, seed: _seed, data, model, ...rest }: TrainingConfig): unknown {
  const { connection: _connection, ...size } = model;
  return { ...rest, model: size, text: data.prepared?.text ?? data.source };
}

/** The last validation loss. */
function finalLoss({ metrics }: RunData): number | undefined {
  const loss = metrics.findLast(({ validationLoss }) => validationLoss !== undefined)?.validationLoss;
  return drawable(loss) ? loss : undefined;
}

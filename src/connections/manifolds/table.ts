// Question: which choices for H_res are there, by name?

import { birkhoffNewton } from "./birkhoff-newton.ts";
import { cayleyMap } from "./cayley.ts";
import { cayleyIterated } from "./cayley-iterated.ts";
import { circulant, leakyCirculant } from "./circulant.ts";
import { diagonal } from "./diagonal.ts";
import { identity } from "./identity.ts";
import { kronecker } from "./kronecker.ts";
import { learnedMarginals } from "./learned-marginals.ts";
import { learnedMixture } from "./learned-mixture.ts";
import { learnedSlack } from "./learned-slack.ts";
import { learnedTemperature } from "./learned-temperature.ts";
import { orthostochastic } from "./orthostochastic.ts";
import { permutations } from "./permutations.ts";
import { quaternions } from "./quaternions.ts";
import type { ResidualMap } from "./residual-map.ts";
import { rowSoftmax } from "./row-softmax.ts";
import { sinkhornAdaptiveMap } from "./sinkhorn-adaptive.ts";
import { sinkhornMap } from "./sinkhorn.ts";
import { sinkhornImplicitMap } from "./sinkhorn-implicit.ts";
import { spectralSphere } from "./spectral-sphere.ts";
import { transport } from "./transport.ts";
import { unconstrained } from "./unconstrained.ts";

/** The names of all choices for H_res. */
export const residualMapNames = [
  "unconstrained",
  "identity",
  "diagonal",
  "row-softmax",
  "sinkhorn",
  "sinkhorn-implicit",
  "sinkhorn-adaptive",
  "birkhoff-newton",
  "permutations",
  "kronecker",
  "circulant",
  "leaky-circulant",
  "cayley",
  "cayley-iterated",
  "quaternions",
  "orthostochastic",
  "spectral-sphere",
  "transport",
  "learned-temperature",
  "learned-marginals",
  "learned-mixture",
  "learned-slack",
] as const;

/** One of the names of `residualMaps`. */
export type ResidualMapName = (typeof residualMapNames)[number];

const iterated: Readonly<Partial<Record<ResidualMapName, (iterations?: number) => ResidualMap>>> = {
  sinkhorn: sinkhornMap,
  "sinkhorn-implicit": sinkhornImplicitMap,
};

/** The choices that iterate as often as `iterations` says. */
export const iteratedMaps = Object.keys(iterated) as readonly ResidualMapName[];

/** Every choice for H_res by name; formulas, sources and guarantees are in docs/manifolds.md. */
export const residualMaps: Readonly<Record<ResidualMapName, ResidualMap>> = {
  unconstrained,
  identity,
  diagonal,
  "row-softmax": rowSoftmax,
  sinkhorn: sinkhornMap(),
  "sinkhorn-implicit": sinkhornImplicitMap(),
  "sinkhorn-adaptive": sinkhornAdaptiveMap(),
  "birkhoff-newton": birkhoffNewton,
  permutations,
  kronecker,
  circulant,
  "leaky-circulant": leakyCirculant(),
  cayley: cayleyMap,
  "cayley-iterated": cayleyIterated(),
  quaternions,
  orthostochastic,
  "spectral-sphere": spectralSphere,
  transport,
  "learned-temperature": learnedTemperature,
  "learned-marginals": learnedMarginals,
  "learned-mixture": learnedMixture,
  "learned-slack": learnedSlack(),
};

/** A choice that iterates so often, where it does as `iterations` says. */
export const iteratedMap = (name: ResidualMapName, iterations: number | undefined): ResidualMap =>
  iterated[name]?.(iterations) ?? residualMaps[name];

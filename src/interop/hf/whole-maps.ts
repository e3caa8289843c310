// Question: how is a model whose sublayers do not all learn all of their maps written as one that does?
//
// deepseek_v4's names are for mHC in every sublayer with all three maps. A map that is not learned (connections/
// learned-maps.ts) is one whose numbers are known:
//
//   rows of φ and α are 0,   b_pre = logit(1/n),   b_post = 0,   b_res = 0 on the diagonal and FAR below it elsewhere
//
// so that σ(b_pre) = 1/n, 2σ(b_post) = 1, and Sinkhorn-Knopp makes the identity, all up to the rounding of float32 and, in
// the convention deepseek-v4, to its epsilons of 1e-6.

import { identityMatrix, logit } from "../../connections/initialisation.ts";
import { learnedMaps } from "../../connections/learned-maps.ts";
import type { ConnectionConfig } from "../../connections/table.ts";
import type { ModelConfig } from "../../model/config.ts";
import { sublayerConnections } from "../../model/overrides.ts";

/** The numbers of a parameter by its name. */
type Numbers = (name: string) => Float32Array;

type Mhc = Extract<ConnectionConfig, { kind: "mhc" }>;

/** e^−FAR is nothing beside 1 in float32, and still a normal number. */
const FAR = 60;
/** No sigmoid reaches one. */
const LARGEST = 1 - 2 ** -24;

/**
 * The model with mHC in all sublayers that computes the same, and its parameters; the model itself where there is
 * nothing to complete, and where its connections are of several kinds.
 */
export function withWholeMaps(model: ModelConfig, numbers: Numbers): { model: ModelConfig; numbers: Numbers } {
  const connections = sublayerConnections(model);
  const whole = wholeOf(connections);
  if (!whole) return { model, numbers };
  return {
    model: { ...model, connection: whole },
    numbers(name) {
      const [, layer, role, part] =
        /^layers\.(\d+)\.(attention|feedForward)\.connection\.(phi|alpha|bias)$/.exec(name) ?? [];
      if (part === undefined) return numbers(name);
      const { maps = "all" } = connections[2 * Number(layer) + (role === "attention" ? 0 : 1)] as Mhc;
      if (maps === "all") return numbers(name);
      const parts = partsOf(part, whole.streams, model.width);
      const given = maps === "none" ? new Float32Array() : numbers(name);
      const which = learnedMaps(maps);
      const all = new Float32Array(parts.reduce((sum, { fixed }) => sum + fixed.length, 0));
      let [from, to] = [0, 0];
      for (const { map, fixed } of parts) {
        all.set(which[map] ? given.subarray(from, (from += fixed.length)) : fixed, to);
        to += fixed.length;
      }
      return all;
    },
  };
}

/** mHC with all maps where the sublayers have that or some of them, and differ in nothing else. */
function wholeOf(connections: readonly ConnectionConfig[]): Mhc | undefined {
  if (!connections.some((one) => one.kind === "mhc" && (one.maps ?? "all") !== "all")) return undefined;
  const wholes = connections.map((one) => {
    if (one.kind !== "mhc") return undefined;
    // What does not mix iterates nothing.
    const { maps = "all", ...others } = one;
    return learnedMaps(maps).res ? others : { ...others, iterations: undefined };
  });
  const first = wholes.find((one) => one?.iterations !== undefined) ?? wholes[0];
  if (!first) return undefined;
  const { initialisation: _, iterations = 20, ...shared } = first;
  const text = JSON.stringify(sorted(shared));
  const isSame = (one: (typeof wholes)[number]): boolean => {
    if (!one) return false;
    const { initialisation: __, iterations: own = iterations, ...others } = one;
    return own === iterations && JSON.stringify(sorted(others)) === text;
  };
  return wholes.every(isSame) ? { ...shared, iterations } : undefined;
}

const sorted = (record: object): unknown => Object.entries(record).sort(([a], [b]) => a.localeCompare(b));

/** The parts of a parameter that belong to each map, and their numbers where it is not learned. */
function partsOf(
  part: string,
  n: number,
  width: number,
): { readonly map: "pre" | "post" | "res"; readonly fixed: ArrayLike<number> }[] {
  const fixedOf = (rows: number, bias: () => number[]): Float32Array | number[] => {
    if (part === "bias") return bias();
    return new Float32Array(part === "alpha" ? 1 : rows * n * width);
  };
  const fill = (value: number) => (): number[] => Array<number>(n).fill(value);
  return [
    { map: "pre", fixed: fixedOf(n, fill(logit(Math.min(1 / n, LARGEST)))) },
    { map: "post", fixed: fixedOf(n, fill(0)) },
    { map: "res", fixed: fixedOf(n * n, () => identityMatrix(n, FAR).map((value) => value - FAR)) },
  ];
}

// Question: on what do the maps of an mHC sublayer depend?
//
//   token      p_t = RMSNorm(vec x_t) φᵀ,  l_t = α p_t + b          each token decides for itself (the paper)
//   sequence   l_t = α mean(p_0 … p_t) + b                          all that was read of the sequence decides
//   none       l = b                                                static: the same for all tokens
//
// In a group of k sublayers p is read off the streams once, by the φ of the first one; the others have α and b of
// their own, and no φ. The state between them is the streams and p.
//
// A mean over a whole sequence would show a token what comes after it; so the mean is over what came before, and a
// decoder, which reads one token after the other, keeps p as it keeps keys and values.

import type { ParameterSet } from "../graph/parameters.ts";
import type { Tensor } from "../graph/tensor.ts";
import { streamRead } from "../ops/stream-read.ts";
import { streamWrite } from "../ops/stream-write.ts";
import { expand } from "../ops/expand.ts";
import { activeCoefficients } from "./active.ts";
import {
  type MapParameters,
  type MapRules,
  projectedCoefficients,
  projectStreams,
  staticCoefficients,
} from "./composed-coefficients.ts";
import {
  type Connection,
  expectChannels,
  expectSublayer,
  type Sequences,
  storages,
  streamsForm,
  type SublayerOptions,
  unadjusted,
} from "./connection.ts";
import type { Decided, StreamsConnection } from "./streams.ts";

/** What the maps of a sublayer depend on. */
export const dynamics = ["token", "sequence", "none"] as const;

/** One of the names of `dynamics`. */
export type Dynamic = (typeof dynamics)[number];

/** What a sublayer learned: no φ where it reads nothing off the streams, and no α where nothing is read for it. */
export type DynamicParameters = Omit<MapParameters, "alpha"> & { readonly alpha?: Tensor; readonly phi?: Tensor };

/** How a connection decides. */
export interface DynamicRules extends MapRules {
  readonly dynamic: Dynamic;
  /** Sublayers that share what is read off the streams. */
  readonly group: number;
  /** How many streams are mixed and written; undefined: all. */
  readonly active: number | undefined;
}

/** What the tokens' streams say [T, rows], read by φ; undefined where nothing is read. */
function readOff(
  x_TNC: Tensor,
  { phi }: DynamicParameters,
  { dynamic }: DynamicRules,
  sequences: Sequences | undefined,
): Tensor | undefined {
  if (!phi) return undefined;
  const p = projectStreams(x_TNC, phi);
  if (dynamic === "token") return p;
  if (!sequences)
    throw new Error(
      'mhc: dynamic: "sequence" needs to know which tokens belong together, and no sequences were given. Give apply() sequences, as languageModel does, or take dynamic: "token".',
    );
  return sequences.meanSoFar(p);
}

function decided(x_TNC: Tensor, p: Tensor | undefined, parameters: DynamicParameters, rules: DynamicRules): Decided {
  const { streams, map, active } = rules;
  const { alpha, ...own } = parameters;
  if (p && alpha && active !== undefined) return activeCoefficients(p, { ...own, alpha }, map, streams, active);
  return p && alpha ? projectedCoefficients(p, { ...own, alpha }, rules) : staticCoefficients(x_TNC, own, rules);
}

/** The decision of a sublayer that reads for itself, or not at all. */
export function decideDynamically(
  x_TNC: Tensor,
  parameters: DynamicParameters,
  rules: DynamicRules,
  sequences: Sequences | undefined,
): Decided {
  return decided(x_TNC, readOff(x_TNC, parameters, rules, sequences), parameters, rules);
}

/** The streams [T, n, C] and, after the first sublayer, what the group's φ read off them [T, rows]. */
type Grouped = readonly Tensor[];

/**
 * A connection of n streams whose sublayers decide in groups by what the first of each read.
 *
 * @param learned makes the parameters of a sublayer; φ only for the first of a group
 */
export function groupedConnection(
  { name, streams, streamPrecision, collapse }: Omit<StreamsConnection, "deciding">,
  rules: DynamicRules,
  learned: (parameters: ParameterSet, options: SublayerOptions) => DynamicParameters,
): Connection {
  const { keep, use } = storages[streamPrecision];
  const connection: Connection<Grouped> = {
    name,
    form: `${streamsForm(streams, streamPrecision)}, read in groups of ${rules.group}`,
    expand: (x_TC) => [keep(expand(x_TC, streams))],
    sublayer(parameters, options) {
      expectSublayer(name, options);
      const own = learned(parameters, options);
      return {
        apply([state, before], block, adjust = unadjusted, sequences) {
          const x_TNC = use(state!);
          expectChannels(name, x_TNC, options.channels);
          const p = readOff(x_TNC, own, rules, sequences) ?? before;
          const found = decided(x_TNC, p, own, rules);
          const coefficients = adjust(found.coefficients);
          const next = keep(streamWrite(x_TNC, coefficients, block(streamRead(x_TNC, coefficients))));
          return { ...found, state: p ? [next, p] : [next], coefficients, streams: x_TNC };
        },
      };
    },
    collapse: ([state]) => collapse(use(state!)),
  };
  return connection;
}

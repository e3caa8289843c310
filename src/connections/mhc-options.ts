// Question: what can be chosen of mHC, and which choices go together?

import { expectWhole } from "../basics/ranges.ts";
import { z } from "zod";
import type { StreamPrecision } from "../ops/bfloat16.ts";
import { expectFields, expectName, type FieldRules } from "../basics/fields.ts";
import { expectStreams, precisions } from "./connection.ts";
import type { SlackRules } from "./composed-coefficients.ts";
import type { ConventionRules } from "./conventions/coefficients.ts";
import type { StreamsEnd } from "./conventions/convention.ts";
import { endOf } from "./conventions/ending.ts";
import { type MhcConventionName, mhcConventionNames, mhcConventions } from "./conventions/table.ts";
import { type Dynamic, dynamics } from "./dynamic.ts";
import { type Configuration, type ConnectionEntry, streamPrecisionOption, streamsOption } from "./entry.ts";
import { MOST_ITERATIONS, MOST_STREAMS } from "../basics/bounds.ts";
import { count, finiteFloat32, positiveFloat32 } from "../basics/schemas.ts";
import {
  type Initialisation,
  type InitialisationName,
  initialisationNames,
  initialisations,
} from "./initialisations.ts";
import { learnedMapNames, learnedMaps, type LearnedMaps, type LearnedMapsName } from "./learned-maps.ts";
import { learnedSlack } from "./manifolds/learned-slack.ts";
import { expectSupport, type ResidualMap } from "./manifolds/residual-map.ts";
import { sinkhornAdaptiveMap } from "./manifolds/sinkhorn-adaptive.ts";
import { expectTolerance, LEAST_TOLERANCE } from "../ops/sinkhorn-until.ts";
import { iteratedMap, iteratedMaps, type ResidualMapName, residualMapNames } from "./manifolds/table.ts";

/** The options of mHC. */
export interface MhcOptions {
  /** Number n of streams. Default 4, as in the paper. */
  readonly streams?: number;
  /** Sinkhorn-Knopp iterations (columns, then rows), for "sinkhorn" and "sinkhorn-implicit". Default 20, as in the paper. */
  readonly iterations?: number;
  /** For "sinkhorn-adaptive": the largest |column sum − 1| of a matrix that is done, 1e-6 or more. Default 1e-5. */
  readonly tolerance?: number;
  /** Which matrices H_res is chosen from. Default "sinkhorn", as in the paper, which has special kernels. */
  readonly residualMap?: ResidualMapName;
  /**
   * How the parameters start: a name (docs/initialisation.md compares them), or one that you define. Default
   * "default". Its logits of H_res apply to the maps that normalise exp(logits); the other maps use their own
   * start.
   */
  readonly initialisation?: InitialisationName | Initialisation;
  /** Which implementation's formulas; docs/conventions.md compares them. Default "paper". */
  readonly convention?: MhcConventionName;
  /**
   * How streams join at the end. Default: the convention's own way, which in the paper's is "mean": it keeps
   * the scale of a plain residual.
   */
  readonly collapse?: StreamsEnd;
  /**
   * Which of H_pre, H_post and H_res are learned; the others are a residual connection's: 1/n, 1 and the identity.
   * "none" is a residual connection over streams, without parameters. Default "all".
   */
  readonly maps?: LearnedMapsName;
  /**
   * What the maps depend on: each token's streams ("token", as in the paper), the mean of what was read of its sequence
   * so far ("sequence"), or nothing ("none": static, without φ and α). Default "token".
   */
  readonly dynamic?: Dynamic;
  /** Sublayers that share what the φ of the first of them reads off the streams. Default 1. */
  readonly group?: number;
  /** For "learned-slack": ε, by how much sums may leave one, from e^−ε to e^ε. Default 1/32. */
  readonly slack?: number;
  /** For "learned-slack": the weight in the training loss of how far it is used, from 0 to 1 a sublayer. Default 0. */
  readonly slackPenalty?: number;
  /** For "learned-slack": steps in which the slack falls to zero. Default: it stays. */
  readonly slackSteps?: number;
  /**
   * Of the streams, how many a sublayer mixes and writes, as xHC does (active.ts): all of them are read, half of the active
   * ones are the first streams, each token chooses the others. From 1 to streams − 1. Default: all are active.
   */
  readonly active?: number;
  /** How streams are kept between the sublayers. Default "float32"; every formula is computed in float32. */
  readonly streamPrecision?: StreamPrecision;
}

/** mHC as plain data, with its start by name. */
export type MhcConfig = Configuration<
  "mhc",
  Omit<MhcOptions, "initialisation"> & { readonly initialisation?: InitialisationName },
  "streams" | "iterations"
>;

/**
 * Whether `iterations` changes anything: every configuration has it, and beside other maps, or where H_res is not learned,
 * it says nothing.
 */
export function iterates({
  residualMap = "sinkhorn",
  maps = "all",
}: Pick<MhcOptions, "residualMap" | "maps">): boolean {
  return iteratedMaps.includes(residualMap) && learnedMaps(maps).res;
}

/** The largest ε: a factor of e a sublayer. */
const MOST_SLACK = 1;

/** Most sublayers in a group; there are seldom as many in a network. */
const MOST_GROUP = 4096;

const ends = ["mean", "sum", "learned", "carried"] as const;

export const mhcSchemas: ConnectionEntry<MhcConfig>["options"] = {
  streams: streamsOption,
  iterations: count(MOST_ITERATIONS).default(20),
  tolerance: positiveFloat32.min(LEAST_TOLERANCE).lt(1).exactOptional(),
  residualMap: z.enum(residualMapNames).exactOptional(),
  initialisation: z.enum(initialisationNames).exactOptional(),
  convention: z.enum(mhcConventionNames).exactOptional(),
  collapse: z.enum(ends).exactOptional(),
  maps: z.enum(learnedMapNames).exactOptional(),
  dynamic: z.enum(dynamics).exactOptional(),
  group: count(MOST_GROUP).exactOptional(),
  active: count(MOST_STREAMS).exactOptional(),
  slack: positiveFloat32.max(MOST_SLACK).exactOptional(),
  slackPenalty: finiteFloat32.min(0).exactOptional(),
  slackSteps: count().exactOptional(),
  streamPrecision: streamPrecisionOption,
};

/** The resolved options of one connection: every name is looked up, every default filled in. */
export interface MhcChoices {
  readonly streams: number;
  readonly iterations: number;
  readonly residualMap: ResidualMapName;
  readonly map: ResidualMap;
  readonly maps: LearnedMaps;
  readonly start: Initialisation;
  readonly convention: MhcConventionName;
  readonly rules: ConventionRules;
  readonly end: StreamsEnd;
  readonly streamPrecision: StreamPrecision;
  readonly dynamic: Dynamic;
  readonly group: number;
  readonly slack: SlackRules;
  /** Undefined: all of them. */
  readonly active: number | undefined;
}

const optionRules: FieldRules<MhcOptions> = {
  streams: "number",
  iterations: "number",
  tolerance: "number",
  residualMap: residualMapNames,
  initialisation: "anything",
  convention: mhcConventionNames,
  collapse: ends,
  maps: learnedMapNames,
  dynamic: dynamics,
  group: "number",
  active: "number",
  slack: "number",
  slackPenalty: "number",
  slackSteps: "number",
  streamPrecision: precisions,
};

const startRules: FieldRules<Initialisation> = {
  alpha: "number",
  phi: "function",
  read: "function",
  write: "function",
  res: "function",
  meaning: "text",
  source: "text",
};

/**
 * Resolves the options of mHC.
 *
 * @throws RangeError for a number of streams, an end or a residual map that does not fit the other options
 */
export function chosen(options: MhcOptions): MhcChoices {
  expectFields("mhc", options, optionRules);
  const {
    streams = 4,
    iterations = 20,
    tolerance,
    residualMap = "sinkhorn",
    initialisation = "default",
    convention = "paper",
    collapse,
    slack,
    slackPenalty,
    slackSteps,
    maps = "all",
    dynamic = "token",
    group = 1,
    active,
    streamPrecision = "float32",
  } = options;
  expectStreams("mhc", streams);
  expectWhole("mhc", "iterations", iterations, 1, MOST_ITERATIONS);
  if (typeof initialisation === "string") expectName("mhc", "initialisation", initialisation, initialisationNames);
  else expectFields("mhc", initialisation, startRules, "field of an initialisation");
  const end = endOf(convention, collapse);
  expectSlack(residualMap, options);
  if (tolerance !== undefined) expectAdaptive(residualMap, tolerance);
  const map = residualMapOf(residualMap, iterations, tolerance, slack);
  const start = typeof initialisation === "string" ? initialisations[initialisation] : initialisation;
  expectSupport(residualMap, map, active ?? streams);
  expectDynamic(dynamic, group, convention, end);
  expectLearned(maps, map, options, end);
  if (active !== undefined) expectActive(active, streams, residualMap, map, dynamic, convention, end);
  expectSinkhorn(residualMap, convention, end);
  const { norm, form } = mhcConventions[convention];
  // The paper's form has special kernels. Networks with a learned end have always used the general ones, whose
  // last bits differ; they still do, so that old runs resume to the bit.
  const rules = convention === "paper" && end !== "learned" ? { norm } : { norm, form };
  return {
    streams,
    iterations,
    residualMap,
    map,
    maps: learnedMaps(maps),
    start,
    convention,
    rules,
    end,
    streamPrecision,
    dynamic,
    group,
    slack: { penalty: slackPenalty, steps: slackSteps },
    active,
  };
}

function expectDynamic(dynamic: Dynamic, group: number, convention: MhcConventionName, end: StreamsEnd): void {
  expectName("mhc", "dynamic", dynamic, dynamics);
  expectWhole("mhc", "group", group, 1, MOST_GROUP);
  if (dynamic === "none" && group > 1)
    throw new RangeError(
      `mhc: group is ${group}, but with dynamic: "none" nothing is read that a group could share. Leave one of them out.`,
    );
  if (dynamic === "token" && group === 1) return;
  if (convention === "paper" && (end === "mean" || end === "sum")) return;
  throw new RangeError(
    `mhc: dynamic: "${dynamic}" and group: ${group} are for convention "paper" with its streams joined by mean or sum, got convention "${convention}" and collapse "${end}". Leave one of them out.`,
  );
}

function expectLearned(
  name: LearnedMapsName,
  map: ResidualMap,
  { streams = 4, convention = "paper", residualMap, initialisation, dynamic, group, active, ...options }: MhcOptions,
  end: StreamsEnd,
): void {
  expectName("mhc", "maps", name, learnedMapNames);
  if (name === "all") return;
  const refuse = (why: string): never => {
    throw new RangeError(`mhc: maps is "${name}"${why}`);
  };
  const idle = Object.entries({
    ...(learnedMaps(name).res ? {} : { residualMap, ...options }),
    ...(name === "none" ? { initialisation, dynamic, group } : {}),
  }).find(([option, value]) => OF_MAPS.has(option) && value !== undefined);
  if (active !== undefined) refuse(`, and active is for all three maps. Leave one of the two out.`);
  if (idle) refuse(`, and ${idle[0]} would change nothing of what is not learned. Leave out one of the two.`);
  if (name === "res" && map.size(streams) === 0)
    refuse(`, and residual map "${residualMap}" has nothing to learn. Take another residual map, or maps: "none".`);
  if (end === "carried" || (name !== "none" && (convention !== "paper" || (end !== "mean" && end !== "sum"))))
    refuse(
      ` with convention "${convention}" and collapse "${end}"; ${name === "none" ? 'a sublayer that learns nothing carries no coefficients. Take another convention, or maps: "all".' : 'some maps without the others are for convention "paper" with its streams joined by mean or sum. Leave maps out, or the others.'}`,
    );
}

/** Options that say how maps are learned. */
const OF_MAPS: ReadonlySet<string> = new Set([
  "residualMap",
  "slack",
  "slackPenalty",
  "slackSteps",
  "initialisation",
  "dynamic",
  "group",
] satisfies (keyof MhcOptions)[]);

function expectActive(
  active: number,
  streams: number,
  residualMap: ResidualMapName,
  map: ResidualMap,
  dynamic: Dynamic,
  convention: MhcConventionName,
  end: StreamsEnd,
): void {
  expectWhole("mhc", "active", active, 1, MOST_STREAMS);
  if (active >= streams)
    throw new RangeError(
      `mhc: active is ${active} of ${streams} streams; it must be less than streams. Leave it out to mix and write all of them.`,
    );
  if (dynamic === "none")
    throw new RangeError(
      `mhc: active is ${active}, but with dynamic: "none" no token chooses its streams. Leave one of them out.`,
    );
  if ((map.fixed?.(active) ?? 0) > 0)
    throw new RangeError(
      `mhc: active is for residual maps whose logits all depend on the token, got "${residualMap}", which learns some for all tokens. Leave one of them out.`,
    );
  if (convention !== "paper" || (end !== "mean" && end !== "sum"))
    throw new RangeError(
      `mhc: active is for convention "paper" with its streams joined by mean or sum, got convention "${convention}" and collapse "${end}". Leave one of them out.`,
    );
}

/** A choice for H_res with its own options. */
function residualMapOf(
  name: ResidualMapName,
  iterations: number,
  tolerance: number | undefined,
  slack: number | undefined,
): ResidualMap {
  if (name === "sinkhorn-adaptive") return sinkhornAdaptiveMap(tolerance);
  if (name === "learned-slack") return learnedSlack(slack);
  return iteratedMap(name, iterations);
}

function expectAdaptive(residualMap: ResidualMapName, tolerance: number): void {
  if (residualMap !== "sinkhorn-adaptive")
    throw new RangeError(
      `mhc: tolerance is for residual map "sinkhorn-adaptive", got "${residualMap}". Leave it out, or take residualMap: "sinkhorn-adaptive".`,
    );
  expectTolerance("mhc", tolerance);
}

/** Options that only one map has. */
function expectSlack(
  residualMap: ResidualMapName,
  options: Pick<MhcOptions, "slack" | "slackPenalty" | "slackSteps">,
): void {
  const given = (["slack", "slackPenalty", "slackSteps"] as const).filter((name) => options[name] !== undefined);
  if (given.length === 0) return;
  if (residualMap !== "learned-slack")
    throw new RangeError(
      `mhc: ${given[0]} is for residual map "learned-slack", got "${residualMap}". Leave it out, or take residualMap: "learned-slack".`,
    );
  const { slack = 1, slackPenalty = 0, slackSteps = 1 } = options;
  if (!(slack > 0 && slack <= MOST_SLACK))
    throw new RangeError(`mhc: slack is ${slack}; it must be above 0 and at most ${MOST_SLACK}.`);
  if (!(slackPenalty >= 0 && Number.isFinite(slackPenalty)))
    throw new RangeError(`mhc: slackPenalty is ${slackPenalty}; it must be 0 or more.`);
  expectWhole("mhc", "slackSteps", slackSteps, 1, Number.MAX_SAFE_INTEGER);
}

function expectSinkhorn(residualMap: ResidualMapName, convention: MhcConventionName, end: StreamsEnd): void {
  if (residualMap === "sinkhorn" || (convention === "paper" && (end === "mean" || end === "sum"))) return;
  throw new RangeError(
    `mhc: residual map "${residualMap}" is for convention "paper" with its streams joined by mean or sum, got convention "${convention}" and collapse "${end}". Leave one of them out.`,
  );
}

// Question: how is a checkpoint converted from one convention to another?
//
// Its connections are converted twice, one at a time: before anything is written, to measure the error by evaluating
// both forms in float64 on the same random streams, and again when it is their turn to be written. All other tensors,
// of any dtype, are copied unchanged in parts. So a checkpoint may be larger than the memory, and may lie on a hub.

import path from "node:path";
import { MOST_ITERATIONS, MOST_TOKENS } from "../basics/bounds.ts";
import { expectFields, expectGiven, type FieldRules } from "../basics/fields.ts";
import { given } from "../basics/given.ts";
import {
  conversion,
  type ConversionDifference,
  conversionDifference,
  ConversionError,
  endingDifference,
} from "../connections/conventions/convert.ts";
import { type ConnectionWeights, streamsOfBias } from "../connections/conventions/evaluate.ts";
import type { StreamsEnd } from "../connections/conventions/convention.ts";
import {
  type ConventionName,
  conventionNames,
  conventions,
  isMhcConvention,
  type MhcConventionName,
} from "../connections/conventions/table.ts";
import { expectWhole } from "../basics/ranges.ts";
import { isRunFolder } from "../runs/find-runs.ts";
import { isManyFiles } from "../files/checkpoint-folder.ts";
import { isHubPlace } from "../files/hub-place.ts";
import { isFolder, isSamePlace } from "../files/places.ts";
import { type OpenSafetensors, sizeOf } from "../files/safetensors-format.ts";
import { isIndexName } from "../files/shard-names.ts";
import { type OpenShards, openShards } from "../files/shards.ts";
import {
  type FoundConnection,
  findConnections,
  joinedWeights,
  namedWeights,
  type Naming,
  namingOf,
  namings,
} from "./connection-names.ts";
import { expectFolders, type NewTensor, writeFolder, writeNew } from "./convert-write.ts";
import { randomProbe } from "./probes.ts";
import { openRunConnections, type RunConnections, sharedConvention } from "./run-connections.ts";
import { whyPart } from "./whole-model.ts";

/** How a file is converted. */
export interface ConvertOptions {
  /** Default: what the run's configuration or the file's metadata says. */
  readonly from?: ConventionName;
  readonly to: ConventionName;
  /** How the new file names the connections' tensors. Default: the names of the convention's own programs. */
  readonly names?: Naming;
  /** Sinkhorn-Knopp iterations of the model. Default: the run's, otherwise 20. */
  readonly iterations?: number;
  /**
   * Nothing is written if a coefficient differs by more. Default: 1e-3 between conventions that meet only as
   * iterations grow; no limit between those that differ by their epsilons, since no weights come closer.
   */
  readonly tolerance?: number;
  /** Random tokens on which the forms are compared. Default 8. */
  readonly tokens?: number;
  /** States that a file is a whole model whose streams end by their mean, where the file alone does not show it. */
  readonly end?: "mean";
  /** Whether the checkpoint that an output folder holds is replaced. Default false; an output file always is. */
  readonly overwrite?: boolean;
  /** Hears how many bytes of how many are written, from time to time. */
  readonly onProgress?: (written: number, bytes: number) => void;
}

/** One connection of a file, and how far apart its two forms are. */
export interface ConvertedConnection {
  readonly name: string;
  /** The largest differences on the random streams; for an end, those of its weights. */
  readonly difference: ConversionDifference;
}

/** The result of `convertFile`. */
export interface ConvertReport {
  readonly from: ConventionName;
  readonly to: ConventionName;
  readonly agreement: "same" | "epsilons" | "limit";
  readonly notes: readonly string[];
  readonly converted: readonly ConvertedConnection[];
  /** How many tensors were copied unchanged. */
  readonly passed: number;
  readonly bytes: number;
  /** The largest difference of all connections. */
  readonly difference: ConversionDifference;
}

/** The metadata key that names a file's convention. */
export const conventionKey = "birkhoff.convention";

const optionRules: FieldRules<ConvertOptions> = {
  from: conventionNames,
  to: conventionNames,
  names: namings,
  iterations: "number",
  tolerance: "number",
  tokens: "number",
  end: ["mean"],
  overwrite: "flag",
  onProgress: "function",
};

/**
 * Convert the connections of a safetensors file to another convention; all other tensors are copied unchanged.
 * A new file appears under its name only when it is complete.
 *
 * @param source a safetensors file with any known names of the connections' tensors, a folder with all files of a
 *   checkpoint or its index, a model on a hub (hf:owner/name[@revision]), of which no copy is kept, or a run
 *   folder, whose last checkpoint is converted
 * @param output another file, or for a folder of files another folder, which gets files of the same names and an index
 * @returns what was done, and the measured error
 * @throws ConversionError when the new convention cannot express the weights, the file states another convention, has
 *   no connections, or the error is above the tolerance; Error when the output is the input. Nothing is written then
 */
export function convertFile(source: string, output: string, options: ConvertOptions): ConvertReport {
  // An index stands for the files that it lists.
  const input = isIndexName(source) && !isHubPlace(source) ? path.dirname(source) : source;
  expectFields("convertFile", options, optionRules);
  expectGiven("convertFile", options, optionRules, ["to"]);
  const { iterations = 20, tokens = 8, tolerance } = options;
  expectWhole("convertFile", "iterations", iterations, 1, MOST_ITERATIONS);
  expectWhole("convertFile", "tokens", tokens, 1, MOST_TOKENS);
  if (tolerance !== undefined && !(tolerance >= 0))
    throw new RangeError(
      `convertFile: tolerance is ${tolerance}; it must be a number of at least 0. Give such as 1e-3, or Infinity for no limit.`,
    );
  if (isSamePlace(input, output)) throw new Error(`${output} is the input: give the new file another name`);
  const run = isFolder(input) && isRunFolder(input) ? openRunConnections(input) : undefined;
  const place = run?.file ?? input;
  if (isSamePlace(place, output)) throw new Error(`${output} is the run's checkpoint: give the new file another name`);
  if (isManyFiles(place)) expectFolders(place, output, options.overwrite ?? false);
  else if (isFolder(output))
    throw new Error(
      `${output} is a folder, and ${run ? `the checkpoint of ${input}` : input} a file: give the new file a name in it`,
    );
  const known = run ? knownOf(input, run, options.to) : {};
  const file = openShards(place);
  try {
    const stated = known.from ?? file.metadata[conventionKey];
    const { from = conventionNames.find((name) => name === stated) } = options;
    if (from === undefined)
      throw new ConversionError(
        `${input} does not say its convention: give it with --from (${conventionNames.join(", ")})`,
      );
    if (stated !== undefined && stated !== from)
      throw new ConversionError(
        `${input} is in the convention ${stated}, as ${run ? "the run's configuration" : "its metadata"} says: convert it --from ${stated}`,
      );
    return convertOpened(file, place, output, { ...known, ...options, from });
  } finally {
    file.close();
  }
}

/** What a run says of its conversion. */
function knownOf(
  folder: string,
  run: RunConnections,
  to: ConventionName,
): Pick<ConvertOptions, "from" | "iterations" | "end"> {
  const { convention: from, end } = sharedConvention(folder, run);
  const ends: readonly StreamsEnd[] = conventions[to].ends;
  if (end && from !== to && isMhcConvention(to) && !ends.includes(end) && !(end === "mean" && ends[0] === "learned"))
    throw new ConversionError(
      `${folder} ends its streams by ${end === "learned" ? "a learned end" : `their ${end}`}, and ${to} only by ${ends.join(" or ")}: its connections alone can be converted from the checkpoint's file, ${run.file}`,
    );
  return { from, ...given({ iterations: run.iterations, end: end === "mean" ? end : undefined }) };
}

function convertOpened(
  file: OpenShards,
  input: string,
  output: string,
  {
    from,
    to,
    names = namingOf(to),
    iterations = 20,
    tolerance: asked,
    tokens = 8,
    end,
    onProgress,
  }: ConvertOptions & {
    readonly from: ConventionName;
  },
): ConvertReport {
  const { agreement, notes, sublayer, ending } = conversion(from, to);
  const tolerance = asked ?? (agreement === "limit" ? 1e-3 : Infinity);
  const connections = findConnections(file.tensors);
  const sublayers = connections.filter(({ kind }) => kind === "sublayer");
  if (connections.length === 0) {
    throw new ConversionError(
      `${input} has no connections: no tensor is named like layers.0.hc_attn_fn, layers.0.attn_hc.fn or layers.0.attention.connection.phi${
        file.partOf === undefined ? "" : `; ${file.partOf}: give the folder with all files`
      }`,
    );
  }

  const converted: ConvertedConnection[] = [];
  const replaced = new Map<string, readonly NewTensor[]>();
  const weightsOf = (connection: FoundConnection): ConnectionWeights => {
    file.prefetch(Object.values(connection.tensors));
    return readConnection(file, connection, from);
  };
  const replace = (connection: FoundConnection, weights: ConnectionWeights | undefined, again: Again): void => {
    const made = newTensors(connection.name, weights ?? {}, names, again);
    const old = Object.values(connection.tensors);
    // They take the place of the connection's first tensor; the others are removed.
    for (const [index, name] of old.entries()) replaced.set(name, index === 0 ? made : []);
  };
  let sizes: { streams: number; channels: number } | undefined;
  for (const connection of sublayers) {
    const before = weightsOf(connection);
    sizes = sizesOf(before, connection.name);
    const after = withName(connection.name, () => sublayer(before, sizes));
    const probe = randomProbe({ tokens, ...sizes });
    const difference = conversionDifference(
      { convention: from, weights: before },
      { convention: to, weights: after },
      probe,
      iterations,
    );
    converted.push({ name: connection.name, difference });
    const ofSublayer = sizes;
    replace(connection, after, () => sublayer(readConnection(file, connection, from), ofSublayer));
  }

  const added: NewTensor[] = [];
  const ends = connections.filter(({ kind }) => kind === "ending");
  if (isMhcConvention(from)) {
    const compare = (
      name: string,
      before: ConnectionWeights | undefined,
      after: ConnectionWeights | undefined,
      ofEnd: { readonly streams: number; readonly channels: number },
    ): void => {
      const probe = randomProbe({ tokens, ...ofEnd });
      const sides = [
        { convention: from, weights: before },
        { convention: to, weights: after },
      ] as [End, End];
      const coefficients = endingDifference(...sides, probe);
      converted.push({ name, difference: { coefficients, output: coefficients } });
    };
    for (const end of ends) {
      const before = weightsOf(end);
      const ofEnd = sizes ?? endSizes(before, end.name);
      const after = withName(end.name, () => ending(before, ofEnd));
      compare(end.name, before, after, ofEnd);
      replace(end, after, () => ending(readConnection(file, end, from), ofEnd));
    }
    // An end that no file has is one that the model does not need, if these are all of its files.
    if (ends.length === 0 && sizes !== undefined) {
      const after = ending(undefined, sizes);
      if (after !== undefined) {
        const why = end === "mean" ? undefined : whyPart(file);
        if (why !== undefined)
          throw new ConversionError(
            `${input} may be a part of a model: ${why}. ${to} needs a learned end, which may be in another file: give the folder with all files, or, if this is the whole model and its streams end by their mean, say --end mean. Nothing was written`,
          );
        compare("ending (made of the mean)", undefined, after, sizes);
        added.push(...newTensors("ending", after, names, () => after));
      }
    }
  }

  const difference = largest(converted);
  if (!(difference.coefficients <= tolerance)) {
    const worst = converted.find((each) => each.difference.coefficients === difference.coefficients);
    if (worst === undefined)
      throw new ConversionError("Some weights are not finite; birkhoff lint finds them. Nothing was written.");
    throw new ConversionError(
      `${from} and ${to} are ${difference.coefficients.toExponential(1)} apart in ${worst.name}, more than the tolerance ${tolerance}: ` +
        `${agreement === "limit" ? "its logits are too large for the number of iterations. " : ""}Nothing was written; a larger --tolerance accepts it.`,
    );
  }
  const passed = file.tensors.filter(({ name }) => !replaced.has(name));
  const shards = file.shards.map((shard, index) => ({
    ...shard,
    metadata: { ...shard.metadata, [conventionKey]: to },
    tensors: [
      ...shard.tensors.flatMap(
        (tensor): readonly NewTensor[] => replaced.get(tensor.name) ?? [{ ...tensor, source: tensor.name }],
      ),
      ...(index === file.shards.length - 1 ? added : []),
    ],
  }));
  const bytes = shards.reduce((sum, shard) => sum + bytesOf(shard.tensors), 0);
  let written = 0;
  const onWritten = (more: number): void => onProgress?.((written += more), bytes);
  if (isManyFiles(input)) writeFolder(output, shards, file, onWritten);
  else writeNew(output, shards[0]!.tensors, shards[0]!.metadata, file, onWritten);
  return {
    from,
    to,
    agreement,
    notes:
      file.partOf === undefined
        ? notes
        : [...notes, `It may be a part of a checkpoint (${file.partOf}): convert its other files, too.`],
    converted,
    passed: passed.length,
    bytes: bytesOf(passed),
    difference,
  };
}

const bytesOf = (tensors: readonly { readonly bytes: number }[]): number =>
  tensors.reduce((sum, { bytes }) => sum + bytes, 0);

/** Sizes that an end alone shows. */
function endSizes({ phi, bias }: ConnectionWeights, name: string): { streams: number; channels: number } {
  const streams = bias!.shape[0] ?? 0;
  const channels = phi!.shape[1]! / streams;
  if (phi!.shape[0] === streams && Number.isInteger(channels) && channels > 0) return { streams, channels };
  throw new ConversionError(
    `${name} has phi [${phi!.shape.join(", ")}] and bias [${bias!.shape.join(", ")}]; an end has phi [n, nC] and bias [n]`,
  );
}

interface End {
  readonly convention: MhcConventionName;
  readonly weights: ConnectionWeights | undefined;
}

function largest(converted: readonly ConvertedConnection[]): ConversionDifference {
  const of = (key: keyof ConversionDifference): number =>
    converted.reduce((most, { difference }) => Math.max(most, difference[key]), 0);
  return { coefficients: of("coefficients"), output: of("output") };
}

/** Name the connection in an error. */
function withName<R>(name: string, action: () => R): R {
  try {
    return action();
  } catch (error) {
    if (error instanceof ConversionError) error.message = `${name}: ${error.message}`;
    throw error;
  }
}

/** A connection's tensors as float32, whatever their stored dtype; those that a convention needs must exist. */
export function readConnection(
  file: Pick<OpenSafetensors, "read">,
  { name, naming, tensors, kind }: FoundConnection,
  convention: ConventionName,
): ConnectionWeights {
  const needed = isMhcConvention(convention) || kind === "ending" ? ["phi", "alpha", "bias"] : ["bias"];
  const joined = joinedWeights(
    naming,
    Object.fromEntries(Object.entries(tensors).map(([part, tensor]) => [part, file.read(tensor)])),
  );
  const missing = needed.find((part) => joined[part] === undefined);
  if (missing !== undefined) {
    throw new ConversionError(
      `${name} has ${Object.values(tensors).join(", ")}, but no ${missing} in this file: join the shards that hold it`,
    );
  }
  return joined;
}

/** n and C of a sublayer, checked against every tensor it has. */
export function sizesOf(weights: ConnectionWeights, name: string): { streams: number; channels: number } {
  const { bias, phi, theta, alpha } = weights;
  const streams = streamsOfBias(bias!);
  const channels = phi ? phi.shape[1]! / streams : (theta?.shape[1] ?? 1);
  const M = bias!.shape[0]!;
  const fits =
    Number.isInteger(streams) &&
    bias!.shape.length === 1 &&
    Number.isInteger(channels) &&
    (!phi || (phi.shape.length === 2 && phi.shape[0] === M)) &&
    (!theta || (theta.shape.length === 2 && theta.shape[0] === streams + 2)) &&
    (!alpha || (alpha.shape.length === 1 && alpha.shape[0] === 3));
  if (fits) return { streams, channels };
  const shapes = Object.entries(weights).map(([part, { shape }]) => `${part} [${shape.join(", ")}]`);
  throw new ConversionError(
    `${name} has ${shapes.join(", ")}; a connection has bias [n² + 2n], alpha [3] and phi [n² + 2n, nC] (HC: theta [n + 2, C])`,
  );
}

/** Converts a connection's weights once more. */
type Again = () => ConnectionWeights | undefined;

function newTensors(connection: string, weights: ConnectionWeights, names: Naming, again: Again): NewTensor[] {
  const described = namedWeights(names, connection, weights).map(({ name, shape }) => ({ name, shape }));
  // The tensors of a connection are written one after another, then forgotten.
  let made: ReturnType<typeof namedWeights> = [];
  return described.map(({ name, shape }, i) => ({
    name,
    dtype: "F32",
    shape,
    bytes: 4 * sizeOf(shape),
    make() {
      if (i === 0) made = namedWeights(names, connection, again() ?? {});
      const values = Float32Array.from(made[i]!.data);
      if (i === described.length - 1) made = [];
      return values;
    },
  }));
}

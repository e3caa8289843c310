// Question: what does the lint look at in a file or a run folder?
//
// It looks at the connections, found by their names, in the convention that the file's metadata, the run's
// configuration or the names themselves give; and at recorded residual maps, [..., n, n] tensors named h_res,
// hRes (as they mix the streams) or comb (as Sinkhorn-Knopp returned them).

import { MOST_ITERATIONS, MOST_TOKENS } from "../basics/bounds.ts";
import { expectWhole } from "../basics/ranges.ts";
import { expectFields, type FieldRules } from "../basics/fields.ts";
import { given } from "../basics/given.ts";
import fs from "node:fs";
import path from "node:path";
import {
  type ConventionName,
  conventionNames,
  type MhcConventionName,
  isMhcConvention,
} from "../connections/conventions/table.ts";
import { lintConnections } from "./lint.ts";
import type { LintCheck, LintConnection, RecordedMaps } from "./lint-check.ts";
import { type FoundConnection, findConnections, joinedWeights } from "../interop/connection-names.ts";
import { conventionKey } from "../interop/convert.ts";
import { viewAsHuggingFace } from "../interop/hf/view-file.ts";
import { isMade } from "../interop/hf/weights.ts";
import { randomProbe } from "../interop/probes.ts";
import { type KnownConvention, openRunConnections } from "../interop/run-connections.ts";
import { isObject } from "../basics/objects.ts";
import { attempt } from "../files/errors.ts";
import { smallFilesOf } from "../files/checkpoint-folder.ts";
import { isHubPlace } from "../files/hub-place.ts";
import { isFolder } from "../files/places.ts";
import { readText } from "../files/read.ts";
import type { ModelConfig } from "../model/config.ts";
import type { DescribedTensor, OpenSafetensors, StoredTensor } from "../files/safetensors-format.ts";
import { holdsWeights, type OpenShards, openShards } from "../files/shards.ts";
import { matchNames } from "./lint-names.ts";
import { checkTensors, type TensorSource } from "./lint-tensors.ts";

/** Facts that the file may not give, and a file to compare it with. */
export interface LintFileOptions {
  /** The convention of the connections; default: what the file says. */
  readonly convention?: ConventionName;
  /** A file or run folder that should compute the same function. */
  readonly against?: string;
  /** The convention of `against`; default: what it says. */
  readonly againstConvention?: ConventionName;
  /** Sinkhorn-Knopp iterations; default: the run's, otherwise 20. */
  readonly iterations?: number;
  /** Random tokens. Default 32. */
  readonly tokens?: number;
}

const optionRules: FieldRules<LintFileOptions> = {
  convention: conventionNames,
  against: "text",
  againstConvention: conventionNames,
  iterations: "number",
  tokens: "number",
};

/** The result of `lintFile`. */
export interface LintReport {
  readonly file: string;
  /** The convention of each connection that was checked. */
  readonly conventions: Readonly<Record<string, ConventionName>>;
  readonly checks: readonly LintCheck[];
  /** Connections of other kinds than mHC and HC, and why they were left out. */
  readonly skipped: readonly string[];
}

interface Looked {
  readonly file: string;
  /** For each tensor of a connection, the connection; a recorded map stands for itself. */
  readonly owners: ReadonlyMap<string, string>;
  readonly sublayers: readonly LintConnection[];
  readonly endings: readonly LintConnection[];
  readonly maps: readonly RecordedMaps[];
  readonly skipped: readonly string[];
  /** The names of the connections among them. */
  readonly unchecked: readonly string[];
  readonly iterations: number | undefined;
  readonly partOf: string | undefined;
  /** Of a run. */
  readonly model: ModelConfig | undefined;
}

/**
 * Check the connections of a safetensors file, or of the last checkpoint of a run folder, for mistakes; see
 * `lintConnections`.
 *
 * @param place a file or a run folder; it is only read
 * @throws Error when there are no connections to look at, or no file
 */
export function lintFile(place: string, options: LintFileOptions = {}): LintReport {
  expectFields("lintFile", options, optionRules);
  const { tokens = 32 } = options;
  if (options.iterations !== undefined) expectWhole("lintFile", "iterations", options.iterations, 1, MOST_ITERATIONS);
  expectWhole("lintFile", "tokens", tokens, 1, MOST_TOKENS);
  const looked = look(place, options.convention);
  const { file, sublayers, endings, maps, skipped, iterations } = looked;
  if (sublayers.length + maps.length + endings.length === 0) {
    throw new Error(
      `${file} has no connections of HC or mHC${skipped.length > 0 ? ` that can be checked (${skipped.join("; ")})` : ": no tensor is named like layers.0.hc_attn_fn, layers.0.attn_hc.fn or layers.0.attention.connection.phi"}`,
    );
  }
  const other = options.against === undefined ? undefined : look(options.against, options.againstConvention);
  for (const each of other ? [looked, other] : [])
    if (each.partOf !== undefined)
      throw new Error(
        `${each.file} may be a part of a checkpoint, and only whole ones can be compared: ${each.partOf}. Give the folder with all files`,
      );
  // What one file's run does not let us convert is compared as it is stored, with the other tensors.
  const asStored = new Set([...looked.unchecked, ...(other?.unchecked ?? [])]);
  const reference = [...(other?.sublayers ?? []), ...(other?.endings ?? [])].filter(({ name }) => !asStored.has(name));
  const checks = lintConnections({
    sublayers,
    endings,
    maps,
    ...(other ? { reference: new Map(reference.map((each) => [each.name, each])), asStored } : {}),
    iterations: options.iterations ?? iterations ?? 20,
    probe: (streams, channels) => randomProbe({ tokens, streams, channels }),
  });
  const others = other && compareOthers(looked, other, asStored);
  return {
    file,
    conventions: Object.fromEntries(sublayers.map(({ name, convention }) => [name, convention])),
    checks: others ? [...checks, others] : checks,
    skipped,
  };
}

/** The check of the tensors that belong to no connection that was compared. */
function compareOthers(looked: Looked, other: Looked, asStored: ReadonlySet<string>): LintCheck | undefined {
  const files: OpenShards[] = [];
  try {
    const [here, there] = [looked, other].map(({ file: place, owners, model }) => {
      const file = openShards(place);
      files.push(file);
      const isOther = (tensor: string): boolean => asStored.has(owners.get(tensor) ?? "") || !owners.has(tensor);
      return { place, model, ...withNames(file, isOther) };
    }) as [OpenedSource, OpenedSource];
    return checkTensors(alikeNamed(here, there), alikeNamed(there, here));
  } finally {
    for (const file of files) file.close();
  }
}

interface OpenedSource extends TensorSource {
  readonly place: string;
  /** Of a run. */
  readonly model: ModelConfig | undefined;
}

const withNames = (file: OpenShards, isOther: (tensor: string) => boolean): TensorSource => ({
  file,
  names: file.tensors.map(({ name }) => name).filter((name) => isOther(name) && !isMade(name)),
});

/** A run's tensors as an export has them, where the other file has the names of an export. */
function alikeNamed(source: OpenedSource, other: OpenedSource): TensorSource {
  if (!source.model || other.model) return source;
  const file = viewAsHuggingFace(source.file, source.model, isInterleaved(other.place));
  if (!file) return source;
  const ofConnections = new Set(findConnections(file.tensors).flatMap(({ tensors }) => Object.values(tensors)));
  const theirs = withNames(file, (tensor) => !ofConnections.has(tensor));
  const known = ({ names }: TensorSource): number => matchNames(names, other.names).pairs.length;
  return known(theirs) > known(source) ? theirs : source;
}

/** Whether the columns of MLA lie as is usual in a folder of Hugging Face's form. */
const isInterleaved = (place: string): boolean => configBeside(place)?.["rope_interleave"] !== false;

/** The config.json of the folder that a file lies in. */
function configBeside(place: string): Readonly<Record<string, unknown>> | undefined {
  let config: unknown;
  attempt(() => (config = JSON.parse(readText(path.join(smallFilesOf(place), "config.json")))));
  return isObject(config) ? config : undefined;
}

/**
 * The sublayers' connections in a file or run folder, in order of appearance, and why the file may be a part of a
 * checkpoint.
 *
 * @param isStatic reads only what the static maps need: φ and θ have their shapes and no values, and no others are read
 */
export function findFileConnections(
  place: string,
  convention?: ConventionName,
  isStatic = false,
): { readonly sublayers: readonly LintConnection[]; readonly partOf?: string } {
  const { sublayers, partOf } = look(place, convention, isStatic);
  return { sublayers, ...given({ partOf }) };
}

/** The parts of a connection that see activations. */
const projections: ReadonlySet<string> = new Set(["phi", "theta"]);

/** Whether a place is a folder with the files of a checkpoint, or a model on a hub, and no run. */
export const isCheckpointFolder = (place: string): boolean =>
  isHubPlace(place) || (isFolder(place) && !fs.existsSync(path.join(place, "checkpoints")) && holdsWeights(place));

function look(place: string, asked: ConventionName | undefined, isStatic = false): Looked {
  const run = isFolder(place) && !isCheckpointFolder(place) ? openRunConnections(place) : undefined;
  const name = run?.file ?? place;
  const file = openShards(name);
  try {
    const stated = conventionNames.find((each) => each === file.metadata[conventionKey]);
    const connections = findConnections(file.tensors);
    const wanted = isStatic ? connections.filter(({ kind }) => kind === "sublayer") : connections;
    file.prefetch(
      wanted.flatMap(({ tensors }) =>
        Object.entries(tensors).flatMap(([part, tensor]) => (isStatic && projections.has(part) ? [] : [tensor])),
      ),
    );
    const skipped: string[] =
      file.partOf === undefined
        ? []
        : [`the other files (${file.partOf}): give the folder with all files to check them`];
    const sublayers: LintConnection[] = [];
    const unchecked: string[] = [];
    for (const connection of connections.filter(({ kind }) => kind === "sublayer")) {
      const known = run ? run.conventionOf(connection.name) : exportedHc(place, file, connection);
      if (known?.skip !== undefined) {
        skipped.push(`${connection.name}: ${known.skip}`);
        unchecked.push(connection.name);
      } else {
        const convention = asked ?? known?.convention ?? stated ?? byNames(connection);
        sublayers.push(read(file, connection, convention, isStatic));
      }
    }
    const convention = asked ?? sublayers[0]?.convention ?? stated ?? "paper";
    const maps = isMhcConvention(convention) && !isStatic ? recorded(file, convention) : [];
    return {
      file: name,
      owners: new Map([
        ...connections.flatMap((each) => Object.values(each.tensors).map((tensor) => [tensor, each.name] as const)),
        ...maps.map((map) => [map.name, map.name] as const),
      ]),
      sublayers,
      endings: wanted.filter(({ kind }) => kind === "ending").map((connection) => read(file, connection, convention)),
      maps,
      skipped,
      unchecked,
      iterations: run?.iterations,
      partOf: file.partOf,
      model: run?.config.model,
    };
  } finally {
    file.close();
  }
}

/**
 * An export of HC has Hugging Face's names, as one of mHC, but other sizes: θ [n + 2, C] beside a bias of n (n + 2).
 * Its config.json says which of HC's forms it is.
 */
function exportedHc(
  place: string,
  file: OpenShards,
  { naming, tensors }: FoundConnection,
): KnownConvention | undefined {
  if (naming !== "transformers" && naming !== "deepseek") return undefined;
  const sizeOfPart = (part: string): number | undefined => {
    const name = tensors[part];
    return name === undefined ? undefined : file.find(name)?.shape[0];
  };
  const [rows, length = 0] = [sizeOfPart("phi"), sizeOfPart("bias")];
  const config = configBeside(place);
  const saysHc = config?.["model_type"] === "birkhoff_hc" || config?.["model_type"] === "birkhoff_hyper";
  if (rows === undefined) return saysHc ? { convention: "hc-static" } : undefined;
  if (rows === length || rows * (rows - 2) !== length) return undefined;
  return { convention: saysHc && config["hc_tanh"] === false ? "hc-dynamic-no-tanh" : "hc-dynamic" };
}

function byNames({ naming, tensors }: FoundConnection): ConventionName {
  if (naming === "liger" || naming === "megatron") return naming;
  if (naming !== "birkhoff") return "deepseek-v4";
  if (tensors.theta !== undefined) return "hc-dynamic";
  return tensors.phi === undefined ? "hc-static" : "paper";
}

function read(
  file: OpenShards,
  { name, naming, tensors }: FoundConnection,
  convention: ConventionName,
  isStatic = false,
): LintConnection {
  const isHc = !isMhcConvention(convention);
  const readPart = (part: string, tensor: string): StoredTensor =>
    isStatic && projections.has(part) ? withoutValues(file.find(tensor)!) : file.read(tensor);
  const stored = Object.entries(tensors).map(
    ([part, tensor]) => [isHc && part === "phi" ? "theta" : part, readPart(part, tensor)] as const,
  );
  return {
    name,
    convention,
    weights: joinedWeights(naming, Object.fromEntries(stored)),
    dtypes: Object.fromEntries(stored.map(([part, { dtype }]) => [part, dtype])),
  };
}

const withoutValues = ({ dtype, shape }: DescribedTensor): StoredTensor => ({
  dtype: dtype as StoredTensor["dtype"],
  shape,
  data: new Float32Array(0),
});

function recorded(file: OpenSafetensors, convention: MhcConventionName): RecordedMaps[] {
  return file.tensors.flatMap(({ name, shape }) => {
    const [, word] = /(?:^|[._])(h_res|hRes|comb)(?:$|[._]\d+$)/.exec(name) ?? [];
    if (word === undefined || shape.length < 2 || shape.at(-1) !== shape.at(-2) || shape.at(-1)! < 2) return [];
    return [{ name, shape, data: file.read(name).data, applied: word !== "comb", convention }];
  });
}

// Question: how does a model from elsewhere become a run?
//
// It becomes a run folder at step 0: its configuration, a checkpoint with the weights and with moments of zero, and
// the tokenizer. It can be trained, sampled, inspected, converted and exported like any other run. With a connection
// of streams, the weights are upcycled (upcycle.ts): the new model computes the same as the old one, and this is
// measured before anything is written.

import { expectFields, type FieldRules } from "../../basics/fields.ts";
import fs from "node:fs";
import path from "node:path";
import { given } from "../../basics/given.ts";
import { smallFilesOf } from "../../files/checkpoint-folder.ts";
import { reason } from "../../files/errors.ts";
import { isHubPlace } from "../../files/hub-place.ts";
import { isSamePlace } from "../../files/places.ts";
import { readTokenizer, writeTokenizer } from "../../data/tokenizer-file.ts";
import { isObject } from "../../basics/objects.ts";
import { endOfText, Tokenizer, type TokenizerDefinition } from "../../data/tokenizer.ts";
import type { TokenRoles } from "../../data/tokenizer-roles.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import { parseTrainingConfig, type TrainingConfig } from "../../training/config.ts";
import { LONGEST } from "./fields.ts";
import { readHuggingFaceModel } from "./weights.ts";
import { createRunFolder } from "../../runs/run-folder.ts";
import { programVersions } from "../../runs/run.ts";
import { expectSameLogits, type UpcycledConnection, upcycledState } from "../upcycle.ts";
import { readText } from "../../files/read.ts";

/** What the run should be. */
export interface HuggingFaceImportOptions {
  /** Give the model streams, such as `upcycledConnections.mhc(4)`. Default: the connection in the folder. */
  readonly connection?: UpcycledConnection;
  /** Tokens of a sequence. Default: max_position_embeddings, at most 1024. */
  readonly context?: number;
  /** Text for later training: `sotu`, a file or a folder. Default `sotu`. */
  readonly data?: string;
  /** The step at which training ends. Default 700. */
  readonly steps?: number;
  /** Sequences per batch. Default 16. */
  readonly batch?: number;
  /** Highest learning rate. Default 3e-4. */
  readonly learningRate?: number;
  readonly seed?: number;
  /** What to do when the folder already has a run. Default "refuse". */
  readonly existing?: "refuse" | "overwrite";
  readonly onWarning?: (message: string) => void;
}

/** The result of `importHuggingFace`. */
export interface HuggingFaceImport {
  readonly config: TrainingConfig;
  readonly parameters: number;
  /** Why the run has no tokenizer, so that it can neither write nor train; undefined if it has one. */
  readonly noTokenizer: string | undefined;
  /** Sentences about what differs from the folder. */
  readonly notes: readonly string[];
  /** The difference of a logit between the model and its upcycled form; undefined if it was not upcycled. */
  readonly difference: number | undefined;
}

const optionRules: FieldRules<HuggingFaceImportOptions> = {
  connection: "group",
  context: "number",
  data: "text",
  steps: "number",
  batch: "number",
  learningRate: "number",
  seed: "number",
  existing: ["refuse", "overwrite"],
  onWarning: "function",
};

/**
 * Make a run from a folder in Hugging Face's form: one that `exportHuggingFace` wrote, or a checkpoint of the
 * model types llama, mistral (without its window) or deepseek_v3.
 *
 * @param from the folder: config.json, model.safetensors or its shards, tokenizer.json; it is only read. Or a model on
 *   a hub, hf:owner/name[@revision]
 * @param to folder of the new run
 * @throws Error for a model that this library does not support (the field, its value, what is allowed), for
 *   tensors that are missing, unused or of another shape, and any error of making a run folder; nothing is written
 *   then
 */
export async function importHuggingFace(
  runtime: Runtime,
  from: string,
  to: string,
  options: HuggingFaceImportOptions = {},
): Promise<HuggingFaceImport> {
  expectFields("importHuggingFace", options, optionRules);
  const { connection, existing = "refuse", seed = 1, onWarning } = options;
  if (fs.existsSync(to) && isSamePlace(from, to))
    throw new Error(`the run cannot be in ${to}, the folder that the model is read from; give another folder`);
  if (["model.safetensors", "model.safetensors.index.json"].some((name) => fs.existsSync(path.join(to, name))))
    throw new Error(
      `${to} holds a model in Hugging Face's form, whose config.json would be lost: give the run another folder`,
    );
  const { model: published, tensors, tied, notes: read } = readHuggingFaceModel(from, options.context);
  const stored =
    options.context === undefined && published.context > LONGEST ? { ...published, context: LONGEST } : published;
  const notes = [
    ...read,
    ...(stored.context < published.context
      ? [`Its context is ${stored.context} tokens here; the model was made for ${published.context} (--context).`]
      : []),
    ...(tied
      ? ["Its output matrix was the embedding; here it is a separate copy, which training changes independently."]
      : []),
  ];
  if (connection && (stored.connection as { kind?: string }).kind !== "residual") {
    throw new Error(`${from} has streams already: import it without another connection`);
  }
  const model = connection ? { ...stored, connection } : stored;
  const config = importedConfig(isHubPlace(from) ? from : path.resolve(from), path.resolve(to), model, {
    ...options,
    seed,
  });
  const old = { config: stored, tensors };
  const state = upcycledState({ model: tensors, optimizer: [], folder: from }, config);
  const difference =
    connection && (await expectSameLogits(runtime, old, { config: model, tensors: state.model }, from)).difference;
  const small = smallFilesOf(from, ["config.json", "tokenizer.json", "tokenizer_config.json"]);
  const tokenizer = tokenizerOf(small, model.vocabulary);

  const bytes = [...state.model, ...state.optimizer].reduce((sum, { data }) => sum + data.byteLength, 0);
  const folder = createRunFolder(to, config, {
    existing,
    versions: programVersions(runtime),
    keepCheckpoints: config.keepCheckpoints,
    checkpointBytes: bytes,
    ...given({ onWarning }),
  });
  try {
    if (tokenizer.found) writeTokenizer(path.join(to, "tokenizer.json"), tokenizer.found);
    folder.saveCheckpoint({ step: 0, state: { seed }, ...state });
  } finally {
    folder.close();
  }
  return {
    config,
    parameters: state.model.reduce((sum, { data }) => sum + data.length, 0),
    noTokenizer: tokenizer.why,
    notes: [...notes, ...tokenizer.notes],
    difference,
  };
}

function importedConfig(
  from: string,
  to: string,
  model: TrainingConfig["model"],
  options: HuggingFaceImportOptions,
): TrainingConfig {
  const { data = "sotu", steps = 700, batch = 16, learningRate = 3e-4, seed } = options;
  if (data === "-") throw new Error("a run that is imported cannot read standard input later; give a file or a folder");
  const every = (share: number): number => Math.max(1, Math.round(steps / share));
  return parseTrainingConfig(
    {
      name: path.basename(to),
      seed,
      data: { source: data, vocabulary: model.vocabulary },
      model,
      batch,
      steps,
      optimizer: { learningRate, warmup: Math.round(steps / 20), schedule: { kind: "step" } },
      evaluateEvery: every(10),
      checkpointEvery: every(5),
      importedFrom: from,
    },
    "The configuration of the imported run",
  );
}

interface FoundTokenizer {
  readonly found?: Tokenizer;
  readonly why?: string;
  readonly notes: readonly string[];
}

/**
 * The folder's tokenizer with as many tokens as the model has rows. Models are often padded to a round number;
 * rows without a token get a name.
 */
function tokenizerOf(folder: string, vocabulary: number): FoundTokenizer {
  let tokenizer: Tokenizer;
  try {
    tokenizer = readTokenizer(path.join(folder, "tokenizer.json"));
  } catch (error) {
    return { why: reason(error), notes: [] };
  }
  const { definition: read, vocabularySize } = tokenizer;
  const { beginToken: _begin, endToken: _end, ...rest } = read;
  const definition = { ...rest, ...rolesOf(folder, read) };
  if (vocabularySize > vocabulary) {
    return { why: `its tokenizer has ${vocabularySize} tokens, the model ${vocabulary}`, notes: [] };
  }
  if (vocabularySize === vocabulary) return { found: new Tokenizer(definition), notes: [] };
  const taken = new Set(definition.added.map(({ content }) => content));
  const unusedName = (id: number): string => {
    let name = `unused_${id}`;
    while (taken.has(`<|${name}|>`)) name += "_";
    return `<|${name}|>`;
  };
  const unused = Array.from({ length: vocabulary - vocabularySize }, (_, i) => ({
    id: vocabularySize + i,
    content: unusedName(vocabularySize + i),
    special: true,
  }));
  return {
    found: new Tokenizer({ ...definition, added: [...definition.added, ...unused] }),
    notes: [
      `Its tokenizer has ${vocabularySize} tokens and the model ${vocabulary}: the others are named ${unused[0]!.content} and so on.`,
    ],
  };
}

/**
 * The tokens that begin and end a text: tokenizer_config.json names them (already read), else config.json numbers them;
 * a number there may be a mere default, so only that of a special token counts.
 */
function rolesOf(folder: string, { added, beginToken, endToken }: TokenizerDefinition): TokenRoles {
  const config: unknown = JSON.parse(readText(path.join(folder, "config.json")));
  const named = (field: string): string | undefined => {
    const stored = isObject(config) ? config[field] : undefined;
    const id: unknown = Array.isArray(stored) ? stored[0] : stored;
    return added.find((token) => token.special && token.id === id)?.content;
  };
  const end = endToken ?? named("eos_token_id");
  return given({
    beginToken: beginToken ?? named("bos_token_id"),
    endToken: end === endOfText ? undefined : end,
  });
}

// Question: how does a run become a folder that Hugging Face's tools can read?
//
// It gets config.json, model.safetensors, tokenizer.json and tokenizer_config.json, from the run's last checkpoint.
// Every number is copied unchanged (tensors.ts says where to), one tensor at a time.

import { expectFields } from "../../basics/fields.ts";
import fs from "node:fs";
import path from "node:path";
import { given } from "../../basics/given.ts";
import { sweepLeftovers, writeAll, writeAtomically, writeFileAtomically } from "../../files/atomic.ts";
import { isSamePlace } from "../../files/places.ts";
import { ensureWritableFolder } from "../../files/space.ts";
import { encodeHead } from "../../files/write-safetensors.ts";
import { formatTokenizer } from "../../data/tokenizer-json.ts";
import { readTokenizer } from "../../data/tokenizer-file.ts";
import type { Tokenizer } from "../../data/tokenizer.ts";
import { sizeOf } from "../../graph/tensor.ts";
import { latestCheckpoint, loadCheckpoint } from "../../runs/checkpoint.ts";
import type { SavedTensor } from "../../training/trainer.ts";
import { parseTrainingConfig } from "../../training/config.ts";
import { formatHuggingFaceConfig, huggingFaceConfig } from "./config.ts";
import { gatherView, huggingFaceTensors } from "./tensors.ts";
import { openRunFolder } from "../../runs/run-folder.ts";

/** What may be replaced, and where warnings go. */
export interface HuggingFaceExportOptions {
  /** Whether existing files may be replaced. Default false. */
  readonly overwrite?: boolean;
  readonly onWarning?: (message: string) => void;
}

/** What `exportHuggingFace` wrote. */
export interface HuggingFaceExport {
  readonly folder: string;
  /** The step of the checkpoint. */
  readonly step: number;
  /** The model_type in config.json: llama, deepseek_v3, birkhoff_mhc or birkhoff_hc. */
  readonly modelType: string;
  readonly files: readonly string[];
  readonly tensors: number;
  /** The bytes of all tensors together. */
  readonly bytes: number;
}

const names = {
  tensors: "model.safetensors",
  tokenizer: "tokenizer.json",
  tokenizerConfig: "tokenizer_config.json",
  config: "config.json",
} as const;

/**
 * Write a run's last checkpoint in Hugging Face's form: residual models as llama or deepseek_v3, models with streams
 * under the same names with deepseek_v4's for the connection; docs/files.md has the table.
 *
 * @param run a run folder; it is only read
 * @param out a separate folder, made if missing
 * @throws Error when the run has no checkpoint, the model has no such names, `out` is a run, or files exist
 *   already and may not be replaced; nothing is written then
 */
export function exportHuggingFace(run: string, out: string, options: HuggingFaceExportOptions = {}): HuggingFaceExport {
  expectFields("exportHuggingFace", options, { overwrite: "flag", onWarning: "function" });
  const { overwrite = false, onWarning } = options;
  const { model, importedFrom } = parseTrainingConfig(openRunFolder(run).config, path.join(run, names.config));
  const described = huggingFaceConfig(model);
  const place = latestCheckpoint(run, onWarning);
  if (!place) throw new Error(`${run} has no checkpoint to export; train it first: birkhoff train --resume ${run}`);
  expectFree(run, out, overwrite);

  const saved = new Map(loadCheckpoint(place.folder).model.map((tensor) => [tensor.name, tensor]));
  const views = huggingFaceTensors(model);
  const sourceOf = (name: string): SavedTensor => {
    const stored = saved.get(name);
    if (stored) return stored;
    throw new Error(`${place.folder} has no tensor "${name}"; it belongs to another model than config.json describes`);
  };
  const stored = views.map((view) => ({
    view,
    source: sourceOf(view.source),
    described: { name: view.name, dtype: "F32", shape: view.shape, bytes: 4 * sizeOf(view.shape) },
  }));
  const tokenizer = tokenizerOf(run, importedFrom);
  if (!tokenizer) onWarning?.(`${run} has no tokenizer; the export has none either`);

  ensureWritableFolder(out);
  sweepLeftovers(out, Object.values(names));
  writeAtomically(path.join(out, names.tensors), (descriptor) => {
    // Loaders of PyTorch look for this format before they open a file.
    const head = encodeHead(
      stored.map((tensor) => tensor.described),
      { format: "pt" },
    );
    writeAll(descriptor, head);
    for (const { view, source } of stored) {
      writeAll(descriptor, new Uint8Array(gatherView(view, source.data).buffer));
    }
  });
  if (tokenizer) {
    writeFileAtomically(path.join(out, names.tokenizer), formatTokenizer(tokenizer));
    const { added } = tokenizer.definition;
    const contentOf = (wanted: number | undefined) => added.find(({ id }) => id === wanted)?.content;
    const tokenizerConfig = {
      tokenizer_class: "PreTrainedTokenizerFast",
      model_max_length: model.context,
      clean_up_tokenization_spaces: false,
      ...given({ bos_token: contentOf(tokenizer.begin), eos_token: contentOf(tokenizer.endOfText) }),
    };
    writeFileAtomically(path.join(out, names.tokenizerConfig), `${JSON.stringify(tokenizerConfig, undefined, 2)}\n`);
  }
  // A field that is absent means 1 or 2 to these readers, which here are bytes.
  const special = { bos_token_id: tokenizer?.begin ?? null, eos_token_id: tokenizer?.endOfText ?? null };
  writeFileAtomically(path.join(out, names.config), formatHuggingFaceConfig({ ...described, ...special }));
  return {
    folder: out,
    step: place.step,
    modelType: String(described["model_type"]),
    files: Object.values(names).filter(
      (name) => tokenizer || (name !== names.tokenizer && name !== names.tokenizerConfig),
    ),
    tensors: stored.length,
    bytes: stored.reduce((sum, tensor) => sum + tensor.described.bytes, 0),
  };
}

/** The run's tokenizer. Only an imported run may have none: its model came without one that could be read. */
function tokenizerOf(run: string, importedFrom: string | undefined): Tokenizer | undefined {
  const file = path.join(run, names.tokenizer);
  return importedFrom !== undefined && !fs.existsSync(file) ? undefined : readTokenizer(file);
}

/** Both kinds of folder have a config.json; a run's must never be replaced. */
function expectFree(run: string, out: string, overwrite: boolean): void {
  if (isSamePlace(run, out) || ["checkpoints", "metrics.jsonl"].some((name) => fs.existsSync(path.join(out, name)))) {
    throw new Error(`${out} is a run folder, whose config.json would be lost: give the export another folder`);
  }
  const present = Object.values(names).filter((name) => fs.existsSync(path.join(out, name)));
  if (present.length === 0 || overwrite) return;
  throw new Error(
    `${out} holds ${present.join(", ")} already: replace them (--overwrite), or give another folder (--out)`,
  );
}

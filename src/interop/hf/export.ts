// Question: how does a run become a folder that Hugging Face's tools can read?
//
// It gets config.json, model.safetensors, tokenizer.json and tokenizer_config.json, from the run's last checkpoint.
// Every number is copied unchanged (tensors.ts says where to), one tensor at a time.

import { expectFields } from "../../basics/fields.ts";
import path from "node:path";
import { sweepLeftovers, writeAll, writeAtomically, writeFileAtomically } from "../../files/atomic.ts";
import { ensureWritableFolder } from "../../files/space.ts";
import { encodeHead } from "../../files/write-safetensors.ts";
import { sizeOf } from "../../graph/tensor.ts";
import { expectFree, type ExportOptions, openExported, tokenizerNames, writeTokenizerFiles } from "../exported-run.ts";
import { formatHuggingFaceConfig, huggingFaceConfig } from "./config.ts";
import { gatherView, huggingFaceTensors } from "./tensors.ts";
import { withWholeMaps } from "./whole-maps.ts";

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

const names = { tensors: "model.safetensors", config: "config.json" } as const;

/**
 * Write a run's last checkpoint in Hugging Face's form: residual models as llama or deepseek_v3, models with streams
 * under the same names with deepseek_v4's for the connection; docs/files.md has the table.
 *
 * @param run a run folder; it is only read
 * @param out a separate folder, made if missing
 * @throws Error when the run has no checkpoint, the model has no such names, `out` is a run, or files exist
 *   already and may not be replaced; nothing is written then
 */
export function exportHuggingFace(run: string, out: string, options: ExportOptions = {}): HuggingFaceExport {
  expectFields("exportHuggingFace", options, { overwrite: "flag", onWarning: "function" });
  const { overwrite = false, onWarning } = options;
  const exported = openExported(run, onWarning);
  // What the run says is refused before its checkpoint is read.
  const described = huggingFaceConfig(withWholeMaps(exported.model, () => new Float32Array()).model);
  const { step, tensor } = exported.load();
  const { model, numbers } = withWholeMaps(exported.model, tensor);
  const allNames = [names.tensors, ...tokenizerNames, names.config];
  expectFree(run, out, allNames, overwrite);

  const stored = huggingFaceTensors(model).map((view) => ({
    view,
    data: numbers(view.source),
    described: { name: view.name, dtype: "F32", shape: view.shape, bytes: 4 * sizeOf(view.shape) },
  }));
  const tokenizer = exported.tokenizer();

  ensureWritableFolder(out);
  sweepLeftovers(out, allNames);
  writeAtomically(path.join(out, names.tensors), (descriptor) => {
    // Loaders of PyTorch look for this format before they open a file.
    const head = encodeHead(
      stored.map((each) => each.described),
      { format: "pt" },
    );
    writeAll(descriptor, head);
    for (const { view, data } of stored) writeAll(descriptor, new Uint8Array(gatherView(view, data).buffer));
  });
  if (tokenizer) writeTokenizerFiles(out, tokenizer, model);
  // A field that is absent means 1 or 2 to these readers, which here are bytes.
  const special = { bos_token_id: tokenizer?.begin ?? null, eos_token_id: tokenizer?.endOfText ?? null };
  writeFileAtomically(path.join(out, names.config), formatHuggingFaceConfig({ ...described, ...special }));
  return {
    folder: out,
    step,
    modelType: String(described["model_type"]),
    files: allNames.filter((name) => tokenizer || !tokenizerNames.includes(name as (typeof tokenizerNames)[number])),
    tensors: stored.length,
    bytes: stored.reduce((sum, each) => sum + each.described.bytes, 0),
  };
}

// Question: how does a residual run become a GGUF file for llama.cpp and its like?
//
// Its architecture there is "llama": RMSNorm, rotary positions, grouped attention and SwiGLU, as Hugging Face's llama,
// whose tensors (hf/tensors.ts) get other names. One order differs: columns that turn together, i and i + D/2 of a head
// of D, lie side by side there, so the rows of the matrices of queries and keys change places. All is float32.

import path from "node:path";
import { expectFields } from "../../basics/fields.ts";
import { sweepLeftovers, writeAll, writeAtomically } from "../../files/atomic.ts";
import { ensureWritableFolder } from "../../files/space.ts";
import type { ModelConfig } from "../../model/config.ts";
import { expectFree, type ExportOptions, openExported } from "../exported-run.ts";
import { huggingFaceConfig, NotExpressible } from "../hf/config.ts";
import { gatherView, huggingFaceTensors, type TensorView } from "../hf/tensors.ts";
import { withWholeMaps } from "../hf/whole-maps.ts";
import { encodeGguf, type GgufTensor, type GgufValue } from "./gguf-file.ts";
import { tokenizerFields } from "./tokenizer-fields.ts";

/** What `exportGguf` wrote. */
export interface GgufExport {
  readonly folder: string;
  /** The step of the checkpoint. */
  readonly step: number;
  readonly files: readonly string[];
  readonly tensors: number;
  /** The bytes of the file. */
  readonly bytes: number;
}

const NAME = "model.gguf";

const outside: Readonly<Record<string, string>> = {
  "model.embed_tokens.weight": "token_embd.weight",
  "model.norm.weight": "output_norm.weight",
  "lm_head.weight": "output.weight",
};
const within: Readonly<Record<string, string>> = {
  input_layernorm: "attn_norm",
  "self_attn.q_proj": "attn_q",
  "self_attn.k_proj": "attn_k",
  "self_attn.v_proj": "attn_v",
  "self_attn.o_proj": "attn_output",
  post_attention_layernorm: "ffn_norm",
  "mlp.gate_proj": "ffn_gate",
  "mlp.up_proj": "ffn_up",
  "mlp.down_proj": "ffn_down",
};

/**
 * Write the model of a residual run's last checkpoint as `model.gguf`, with its tokenizer.
 *
 * @param run a run folder; it is only read
 * @param out a separate folder, made if missing
 * @throws Error when the run has no checkpoint, the model is no llama (it has streams, latent attention, experts or a
 *   value residual), its tokenizer cuts texts in a way that GGUF has no name for, `out` is a run, or the file exists
 *   already and may not be replaced; nothing is written then
 */
export function exportGguf(run: string, out: string, options: ExportOptions = {}): GgufExport {
  expectFields("exportGguf", options, { overwrite: "flag", onWarning: "function" });
  const { overwrite = false, onWarning } = options;
  const exported = openExported(run, onWarning);
  const { model } = exported;
  expectLlama(run, model);
  expectFree(run, out, [NAME], overwrite);
  const { step, tensor } = exported.load();
  const tokenizer = exported.tokenizer();
  const tensors = huggingFaceTensors(model).map((view): GgufTensor => {
    const turned = inPairs(view, model);
    return { name: nameOf(view.name), shape: view.shape, make: () => gatherView(turned, tensor(view.source)) };
  });
  const fields = {
    ...modelFields(model, path.basename(path.resolve(run))),
    ...(tokenizer && tokenizerFields(tokenizer, onWarning)),
  };

  ensureWritableFolder(out);
  sweepLeftovers(out, [NAME]);
  let bytes = 0;
  writeAtomically(path.join(out, NAME), (file) => {
    for (const part of encodeGguf(fields, tensors)) {
      writeAll(file, part);
      bytes += part.length;
    }
  });
  return { folder: out, step, files: [NAME], tensors: tensors.length, bytes };
}

function expectLlama(run: string, model: ModelConfig): void {
  const refusal = (what: string, alsoAs = ""): Error =>
    new Error(
      `gguf: ${run} ${what}; GGUF's readers know residual models with plain or grouped attention and one SwiGLU, as llama. Export it as onnx, which holds any graph${alsoAs}`,
    );
  let type: unknown;
  try {
    type = huggingFaceConfig(withWholeMaps(model, () => new Float32Array()).model)["model_type"];
  } catch (error) {
    throw error instanceof NotExpressible ? refusal(`cannot be written: ${error.why}`) : error;
  }
  if (type !== "llama") throw refusal(`is a ${String(type)} model`, ", or as hf");
}

function nameOf(theirs: string): string {
  const [, layer, part] = /^model\.layers\.(\d+)\.(.+)\.weight$/.exec(theirs) ?? [];
  return layer === undefined ? outside[theirs]! : `blk.${layer}.${within[part!]!}.weight`;
}

/** The rows of queries and keys with those that turn together side by side; other tensors as they are. */
function inPairs(view: TensorView, { width, heads }: ModelConfig): TensorView {
  if (!/\.[qk]_proj\.weight$/.test(view.name)) return view;
  const size = width / heads;
  const offsets = view.offsets.map((_, row) => {
    const [head, i] = [Math.floor(row / size), row % size];
    return view.offsets[head * size + (i % 2) * (size / 2) + Math.floor(i / 2)]!;
  });
  return { ...view, offsets };
}

function modelFields(model: ModelConfig, name: string): Readonly<Record<string, GgufValue>> {
  const { vocabulary, context, width, layers, heads, kvHeads, hidden, ropeTheta, normEpsilon } = model;
  return {
    "general.architecture": { text: "llama" },
    "general.name": { text: name },
    // All tensors are float32.
    "general.file_type": { u32: 0 },
    "llama.vocab_size": { u32: vocabulary },
    "llama.context_length": { u32: context },
    "llama.embedding_length": { u32: width },
    "llama.block_count": { u32: layers },
    "llama.feed_forward_length": { u32: hidden },
    "llama.attention.head_count": { u32: heads },
    "llama.attention.head_count_kv": { u32: kvHeads },
    "llama.attention.layer_norm_rms_epsilon": { f32: normEpsilon },
    "llama.rope.dimension_count": { u32: width / heads },
    "llama.rope.freq_base": { f32: ropeTheta },
  };
}

// Question: how does a run become a model that ONNX Runtime and its like run?
//
// The graph is the model's own, for sequences of one length: token ids [batch, length] go in, logits
// [batch, length, vocabulary] come out, all in float32. A shorter sequence is filled up at its end, where it changes
// nothing that comes before.

import path from "node:path";
import { MOST_TOKENS } from "../../basics/bounds.ts";
import { expectFields } from "../../basics/fields.ts";
import { expectWhole } from "../../basics/ranges.ts";
import { sweepLeftovers, writeAll, writeAtomically } from "../../files/atomic.ts";
import { ensureWritableFolder } from "../../files/space.ts";
import { createParameters } from "../../graph/parameters.ts";
import { input } from "../../graph/state.ts";
import { languageModel } from "../../model/language-model.ts";
import { reshape } from "../../ops/reshape.ts";
import { expectFree, type ExportOptions, openExported, tokenizerNames, writeTokenizerFiles } from "../exported-run.ts";
import { translateGraph } from "./graph.ts";
import { encodeModel, onnxTypes } from "./model-file.ts";
import { type Parts, sizeOfParts } from "./protobuf.ts";

/** The sizes of the graph. */
export interface OnnxExportOptions extends ExportOptions {
  /** Tokens of a sequence. Default: the run's context. */
  readonly length?: number;
  /** Sequences of a batch. Default 1. */
  readonly batch?: number;
}

/** What `exportOnnx` wrote. */
export interface OnnxExport {
  readonly folder: string;
  /** The step of the checkpoint. */
  readonly step: number;
  readonly files: readonly string[];
  /** Of the token ids that go in. */
  readonly shape: readonly [batch: number, length: number];
  readonly nodes: number;
  /** The bytes of the files of the model. */
  readonly bytes: number;
}

const names = { model: "model.onnx", weights: "model.onnx.data" } as const;
/** What goes in and comes out, as other exports name it. */
const [TOKENS, LOGITS] = ["input_ids", "logits"];

/**
 * Write the model of a run's last checkpoint as ONNX: `model.onnx`, with `model.onnx.data` beside it where the weights
 * have more than 1 GiB, and the tokenizer.
 *
 * @param run a run folder; it is only read
 * @param out a separate folder, made if missing
 * @throws Error when the run has no checkpoint, ONNX has no graph for its connection, `out` is a run, or files exist
 *   already and may not be replaced; nothing is written then
 */
export function exportOnnx(run: string, out: string, options: OnnxExportOptions = {}): OnnxExport {
  expectFields("exportOnnx", options, { overwrite: "flag", onWarning: "function", length: "number", batch: "number" });
  const { overwrite = false, onWarning, batch = 1 } = options;
  const exported = openExported(run, onWarning);
  const { model } = exported;
  const { length = model.context } = options;
  expectWhole("exportOnnx", "length", length, 1, MOST_TOKENS);
  expectWhole("exportOnnx", "batch", batch, 1, MOST_TOKENS);
  const allNames = [...Object.values(names), ...tokenizerNames];
  expectFree(run, out, allNames, overwrite);
  const { step, tensor } = exported.load();

  const parameters = createParameters();
  const built = languageModel(model, parameters);
  const tokens = input("tokens", [batch, length], "i32");
  const logits = reshape(built.logits(built.hidden(tokens).hidden_NC), [batch, length, model.vocabulary]);
  const values = new Map(parameters.all.map(({ name }) => [name, tensor(name)]));
  const narrow = `${TOKENS}_int32`;
  const { nodes, initializers, result } = translateGraph(logits, values, new Map([[tokens, narrow]]));
  const graph = {
    name: path.basename(path.resolve(run)),
    nodes: [
      { type: "Cast", name: narrow, inputs: [TOKENS], output: narrow, attributes: { to: onnxTypes.i32 } },
      ...nodes,
      { type: "Identity", name: LOGITS, inputs: [result], output: LOGITS, attributes: {} },
    ],
    initializers,
    inputs: [{ name: TOKENS, type: "i64", shape: [batch, length] }],
    outputs: [{ name: LOGITS, type: "f32", shape: logits.shape }],
    notes: { "birkhoff.step": String(step), "birkhoff.model": JSON.stringify(model) },
  } as const;
  const files = encodeModel(graph, names.weights);
  const tokenizer = exported.tokenizer();

  ensureWritableFolder(out);
  sweepLeftovers(out, allNames);
  const written: string[] = [];
  const write = (name: string, parts: Parts | undefined): void => {
    if (!parts) return;
    writeAtomically(path.join(out, name), (file) => parts.forEach((part) => writeAll(file, part)));
    written.push(name);
  };
  // The model last: what speaks of the weights comes when they are there.
  write(names.weights, files.weights);
  write(names.model, files.model);
  if (tokenizer) {
    writeTokenizerFiles(out, tokenizer, model);
    written.push(...tokenizerNames);
  }
  return {
    folder: out,
    step,
    files: written,
    shape: [batch, length],
    nodes: graph.nodes.length,
    bytes: sizeOfParts(files.model) + sizeOfParts(files.weights ?? []),
  };
}

// birkhoff/interop: files and tools of others.

// Files: bring a model to Hugging Face's form and back, and to ONNX and GGUF.
export type { ExportOptions } from "./interop/exported-run.ts";
export { exportHuggingFace, type HuggingFaceExport } from "./interop/hf/export.ts";
export { exportGguf, type GgufExport } from "./interop/gguf/export.ts";
export { exportOnnx, type OnnxExport, type OnnxExportOptions } from "./interop/onnx/export.ts";
export { importHuggingFace, type HuggingFaceImport, type HuggingFaceImportOptions } from "./interop/hf/import.ts";

// Checkpoints of others: convert the connections of a checkpoint to another convention, and give streams to a trained residual run.
export { type ConvertedConnection, convertFile, type ConvertOptions, type ConvertReport } from "./interop/convert.ts";
export type { Naming } from "./interop/connection-names.ts";
export {
  upcycle,
  upcycledConnections,
  type Upcycled,
  type UpcycledConnection,
  type UpcycleOptions,
} from "./interop/upcycle.ts";

// Interop: bring what a run recorded to TensorBoard, a spreadsheet or Prometheus.
export { exportTensorBoard, recordTensorBoard } from "./interop/tensorboard.ts";
export { exportCsv } from "./interop/csv.ts";
export { prometheusText } from "./interop/prometheus.ts";

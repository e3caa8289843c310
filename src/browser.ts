// birkhoff/browser: all that trains in a page, with the runtimes of a browser in place of those of Node.

// Pages: compute in a page or in a worker of it, on a GPU or on the processor.
export {
  listRuntimes,
  openRuntime,
  type PageOptions,
  type PageRuntimeListing,
  type PageRuntimeName,
} from "./runtime/open-page.ts";

// Runs in a page: keep and hand over a run where there are no folders, as the files that the commands read.
export { decodeRun, encodeRun, type KeptRun, type RunFiles } from "./runs/run-files.ts";
export {
  type CheckpointFiles,
  decodeCheckpoint,
  encodeCheckpoint,
  type TrainingState,
} from "./training/checkpoint-files.ts";
export { type Besides, gainRecord, metricRecord } from "./training/step-records.ts";

// What does not depend on the place.
export * from "./common.ts";
export * from "./data.ts";
export * from "./models.ts";
export * from "./ops.ts";
export * from "./stability.ts";
export * from "./training.ts";

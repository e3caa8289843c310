// birkhoff: build a graph, wrap any block in a learned residual connection, train it, and look at what the
// connection learned. Operations are in birkhoff/ops; models, training, studies and planning have entries of
// their own.

// Runtimes: compile a graph once and run it any number of times.
export { type OpenOptions, openRuntime, type RuntimeChoice, type RuntimeName } from "./runtime/open.ts";

// In a page, birkhoff/browser has all of this too, and its own openRuntime.
export * from "./common.ts";

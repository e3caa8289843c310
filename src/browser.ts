// birkhoff/browser: open a runtime in a page or in a worker of it.

// Pages: compute in the browser, by WebGPU or on its processor.
export {
  listRuntimes,
  openRuntime,
  type PageOptions,
  type PageRuntimeListing,
  type PageRuntimeName,
} from "./runtime/open-page.ts";

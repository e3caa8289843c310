// Question: how does the training run beside the page?
//
// In a worker: it computes itself, with the help of others where memory can be shared.

import { openRuntime, type PageOptions } from "birkhoff/browser";
import { type News, train, type Wishes } from "./train.ts";

/** What the page asks for. */
export interface Order {
  readonly options: PageOptions;
  readonly wishes: Wishes;
}

/** What the worker tells. */
export type Told = News | { readonly device: string } | { readonly error: string };

/** Train, and tell how it goes; of an error, too. */
export async function work({ options, wishes }: Order, tell: (told: Told) => void): Promise<void> {
  try {
    const runtime = await openRuntime(options);
    const { name, device, kernels } = runtime;
    tell({ device: name === "wasm" ? `WebAssembly (${kernels}), threads: ${device.threads}` : `${name} (${kernels})` });
    for await (const news of train(runtime, wishes)) tell(news);
    runtime.close();
  } catch (error) {
    tell({ error: error instanceof Error ? error.message : String(error) });
  }
}

if ("DedicatedWorkerGlobalScope" in globalThis)
  globalThis.addEventListener(
    "message",
    ({ data }: MessageEvent<Order>) => void work(data, (told) => globalThis.postMessage(told)),
  );

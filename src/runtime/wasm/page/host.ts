// Question: how does the CPU runtime run in a page, or in a worker of it?
//
// Threads are workers. They share memory only where the page is cross-origin isolated: elsewhere there is one. A
// bundler finds the files by `new URL("...", import.meta.url)`, which must stand there as it is.

import { cannotStart, HASH_DIGITS, type KernelCode, MOST_THREADS, threadName } from "../host.ts";
import type { Threads, ThreadStart, WasmHost } from "../host.ts";
import type { Build } from "../module.ts";

/** Threads, memory and files as a page has them. */
export const pageHost: WasmHost = {
  // A page cannot switch anything on.
  prepareEngine() {},
  loadKernels,
  threads: () =>
    globalThis.crossOriginIsolated
      ? {
          usual: Math.min(MOST_THREADS, globalThis.navigator.hardwareConcurrency),
          most: MOST_THREADS,
          remedy: "Leave it out for all cores.",
        }
      : {
          usual: 1,
          most: 1,
          remedy:
            "This page is not cross-origin isolated, and so its threads cannot share memory. Serve it and its scripts with the headers " +
            "Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp, or leave threads out.",
        },
  startThreads,
  memoryRemedy: "the browser does not have them. Close other pages, or take a browser of 64 bits.",
};

const kernels: Readonly<Record<Build, () => URL>> = {
  relaxed: () => new URL("../build/relaxed.wasm", import.meta.url),
  simd: () => new URL("../build/simd.wasm", import.meta.url),
};

async function loadKernels(build: Build): Promise<KernelCode> {
  const url = kernels[build]();
  const answer = await fetch(url);
  if (!answer.ok)
    throw new Error(
      `createWasmRuntime: the kernels could not be loaded: ${url.href} answers ${answer.status}; the file ${build}.wasm must lie there. Copy it from the package (dist/runtime/wasm/build), or let a bundler that knows new URL(…, import.meta.url) do it.`,
    );
  const code = await answer.arrayBuffer();
  return { module: await compile(code, url), ...(await hashOf(code)) };
}

async function compile(code: ArrayBuffer, url: URL): Promise<WebAssembly.Module> {
  try {
    return await WebAssembly.compile(code);
  } catch (error) {
    throw new Error(
      `createWasmRuntime: ${url.href} holds no kernels that this browser can compile; it must be the file of the package. See whether the server answers with another page.`,
      { cause: error },
    );
  }
}

/** Only secure pages have what computes it. */
async function hashOf(code: ArrayBuffer): Promise<Pick<KernelCode, "hash">> {
  if (!globalThis.isSecureContext) return {};
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", code));
  const hash = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return { hash: hash.slice(0, HASH_DIGITS) };
}

async function startThreads(each: readonly ThreadStart[]): Promise<Threads> {
  const workers: Worker[] = [];
  const gone: string[] = [];
  const stop = (): void => {
    for (const worker of workers) worker.terminate();
  };
  const start = (data: ThreadStart, index: number): Promise<void> =>
    new Promise((resolve, reject) => {
      const worker = new Worker(new URL("./thread.js", import.meta.url), { type: "module" });
      workers.push(worker);
      worker.addEventListener("message", () => resolve(), { once: true });
      worker.addEventListener("error", ({ message }) => {
        const why = `${threadName(index, each.length)} has ended: ${message || "its script could not be loaded"}`;
        gone.push(why);
        reject(new Error(why));
      });
      worker.postMessage(data);
    });
  try {
    await Promise.all(each.map(start));
  } catch (error) {
    stop();
    throw cannotStart(each.length + 1, error, "see whether the server sends the scripts of the package");
  }
  // A browser tells of a worker that has ended only when the calling thread is free.
  return { ended: () => gone[0], askEnded: () => gone[0], stop };
}

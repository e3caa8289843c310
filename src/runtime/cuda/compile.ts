// Question: how do the kernels of a program become functions of the GPU?
//
// Those that are new, of all programs that are asked for together, are cut into modules; the modules are compiled at
// once on other threads, or taken from the cache. A kernel is kept for the runtime's life, so programs with the same kernels share it. While any is
// being compiled, orders wait in their turn.

import type { Cache } from "./cache.ts";
import type { Driver } from "./driver.ts";
import { CudaError } from "./errors.ts";
import type { KernelText } from "./kernel-text.ts";
import { compilerOptions, type Compiler } from "./nvrtc.ts";
import { prelude } from "./prelude.ts";

/** Kernels of a module: few, so that several threads have work, yet more than one, for each module costs a start. */
const moduleSize = (kernels: number): number => Math.min(64, Math.max(4, Math.ceil(kernels / 8)));

/** A kernel that is being compiled, and then is there. */
export interface KernelSlot {
  function: number | undefined;
}

export interface Kernels {
  /** The kernels of a program, in order; they are there when `compiling` is 0. */
  request(texts: readonly KernelText[]): KernelSlot[];
  /** How many modules are being compiled. */
  compiling(): number;
  count(): number;
}

export interface KernelMachine {
  readonly driver: Driver;
  readonly compiler: Compiler;
  readonly cache: Cache;
  /** Such as "sm_90". */
  readonly architecture: string;
}

/**
 * @param settled called when nothing is being compiled any more, with what went wrong
 * @param isOpen whether the runtime is still there to load what has been compiled
 */
export function createKernels(
  { driver, compiler, cache, architecture }: KernelMachine,
  settled: (error: Error | undefined) => void,
  isOpen: () => boolean,
): Kernels {
  const slots = new Map<string, KernelSlot>();
  let waiting = 0;
  let failed: Error | undefined;

  const load = (texts: readonly KernelText[], image: Uint8Array): void => {
    const module = driver.loadModule(image);
    for (const { name, sharedBytes } of texts) slots.get(name)!.function = driver.functionOf(module, name, sharedBytes);
  };
  /** Whether the cache had it. */
  const loadKept = (texts: readonly KernelText[], key: string): boolean => {
    const image = cache.get(key);
    if (!image) return false;
    try {
      load(texts, image);
      return true;
    } catch (error) {
      if (error instanceof CudaError && error.poisons) throw error;
      return false;
    }
  };
  const compile = async (texts: readonly KernelText[]): Promise<void> => {
    const source = moduleText(texts);
    const key = [source, architecture, compiler.version, driver.version, ...compilerOptions].join("\n");
    if (loadKept(texts, key)) return;
    const image = await compiler.compile(source, texts[0]!.name, architecture);
    if (!isOpen()) return;
    load(texts, image);
    cache.put(key, image);
  };
  const begin = async (texts: readonly KernelText[]): Promise<void> => {
    try {
      await compile(texts);
    } catch (error) {
      for (const { name } of texts) slots.delete(name);
      failed ??= error as Error;
    }
    waiting--;
    if (waiting > 0) return;
    const error = failed;
    failed = undefined;
    settled(error);
  };
  /** Kernels of programs that are asked for in this turn. */
  const asked: KernelText[] = [];
  const beginAsked = (): void => {
    const texts = asked.splice(0);
    const size = moduleSize(texts.length);
    const modules = Array.from({ length: Math.ceil(texts.length / size) }, (_, at) =>
      texts.slice(at * size, (at + 1) * size),
    );
    waiting += modules.length - 1;
    for (const module of modules) void begin(module);
  };
  return {
    compiling: () => waiting,
    count: () => slots.size,
    request(texts) {
      const fresh = [...new Map(texts.map((text) => [text.name, text])).values()].filter(
        ({ name }) => !slots.has(name),
      );
      for (const { name } of fresh) slots.set(name, { function: undefined });
      if (fresh.length > 0 && asked.length === 0) {
        waiting++;
        queueMicrotask(beginAsked);
      }
      asked.push(...fresh);
      return texts.map(({ name }) => slots.get(name)!);
    },
  };
}

/** The source of a module. */
export function moduleText(texts: readonly KernelText[]): string {
  return [prelude, ...texts.map(({ text }) => text)].join("\n");
}

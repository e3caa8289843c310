// Question: which GPU is there for CUDA, and with which libraries?

import { missingPackages, installCommand } from "../../files/packages.ts";
import { reason } from "../../files/errors.ts";
import { showBytes } from "../../basics/show.ts";
import { launchedAs } from "../collective/launched.ts";
import type { RuntimeFound } from "../runtime.ts";
import { openCache } from "./cache.ts";
import { openProducts, type Products } from "./cublas.ts";
import { type CudaDevice, type Driver, openDriver } from "./driver.ts";
import {
  findLibraries,
  type LibrariesFound,
  libraryKinds,
  LIBRARIES_VARIABLE,
  majorOf,
  missing,
  showsNvidia,
} from "./libraries.ts";
import { native, type Library, type Native } from "./native.ts";
import { type Compiler, openCompiler } from "./nvrtc.ts";

/** What has been opened. */
export interface CudaFound {
  readonly native: Native;
  readonly driver: Driver;
  readonly driverFile: string;
  readonly compiler: Compiler;
  readonly device: CudaDevice;
  openProducts(): Products;
}

/** Versions as people write them: 13000 is 13.0. */
const showVersion = (version: number): string => `${Math.floor(version / 1000)}.${Math.floor((version % 1000) / 10)}`;

/** The least that kernels and products are written for. */
const LEAST_CAPABILITY = 7.5;

function openLibrary(
  koffi: Native,
  files: readonly string[],
  found: LibrariesFound,
): { library: Library; file: string } {
  // The loader knows of folders that are named nowhere else.
  const failures: string[] = [];
  for (const file of [...files, "libcuda.so.1"]) {
    try {
      return { library: koffi.open(file), file };
    } catch (error) {
      failures.push(`${file}: ${reason(error)}`);
    }
  }
  throw new Error(`${missing("driver", found).message} It cannot be opened: ${failures.join("; ")}.`);
}

/**
 * Open the driver, the compiler and what multiplies.
 *
 * @param asked which GPU, from 0; by default each process of a machine has one of its own, as far as there are enough
 * @throws Error when any is missing or of a version that does not fit; it says what to do
 */
export async function openCuda(asked?: number): Promise<CudaFound> {
  if (process.platform !== "linux")
    throw new Error(
      `cuda: CUDA is used on Linux (also in WSL); this is ${process.platform}. Take the webgpu runtime (--runtime webgpu), or wasm.`,
    );
  const koffi = await native();
  const found = findLibraries();
  const { library, file: driverFile } = openLibrary(koffi, found.driver, found);
  const driver = openDriver(koffi, library);
  const count = driver.deviceCount();
  const ordinal = asked ?? (launchedAs()?.local ?? 0) % Math.max(1, count);
  if (count === 0 || ordinal >= count)
    throw new RangeError(
      `cuda: GPU ${ordinal} is asked for and there ${count === 1 ? "is one, of number 0" : `are ${count}`}; see nvidia-smi and CUDA_VISIBLE_DEVICES.`,
    );
  const device = driver.device(ordinal);
  if (Number(device.capability) < LEAST_CAPABILITY)
    throw new Error(
      `cuda: ${device.name} has compute capability ${device.capability}; ${LEAST_CAPABILITY} or more is needed (Turing, 2018, or later). Take the webgpu runtime (--runtime webgpu).`,
    );
  const fits = (file: string): boolean => (majorOf(file) ?? 0) <= Math.floor(driver.version / 1000);
  const choose = (kind: "compiler" | "products"): string => {
    const [newest] = found[kind];
    if (newest === undefined) throw missing(kind, found);
    const chosen = found[kind].find(fits);
    if (chosen !== undefined) return chosen;
    const most = Math.floor(driver.version / 1000);
    throw new Error(
      `cuda: the driver is older than ${libraryKinds[kind].file}: it knows CUDA up to ${showVersion(driver.version)}, and ${newest} is of CUDA ${majorOf(newest)}. Update the driver, or install the library of CUDA ${most}: pip install ${kind === "compiler" ? "nvidia-cuda-nvrtc" : "nvidia-cublas"}-cu${most}.`,
    );
  };
  const compiler = openCompiler(koffi, choose("compiler"));
  const productsFile = choose("products");
  return {
    native: koffi,
    driver,
    driverFile,
    compiler,
    device,
    openProducts: () =>
      openProducts(koffi, productsFile, openCache(), `${device.name} ${device.capability}`, driver.makeCurrent),
  };
}

/** See which GPU there is, for people and for "auto": nothing is opened where Linux shows none. */
export async function lookForCuda(): Promise<RuntimeFound> {
  if (!showsNvidia())
    return {
      available: false,
      remedy:
        "There is no NVIDIA GPU here, or its driver is not installed (no /dev/nvidiactl). Install the driver, or take the wasm runtime, which needs no GPU.",
    };
  const absent = missingPackages("cuda");
  if (absent.length > 0)
    return { available: false, remedy: `There is an NVIDIA GPU. To train on it: ${installCommand(absent)}` };
  try {
    const { driver, driverFile, compiler, device, openProducts: open } = await openCuda();
    const products = open();
    const description = [
      `${device.name}, ${showBytes(device.totalBytes)}, compute capability ${device.capability}`,
      `driver for CUDA ${showVersion(driver.version)} (${driverFile})`,
      `NVRTC ${showVersion(compiler.version)} (${compiler.file})`,
      `cuBLASLt ${products.version} (${products.file})`,
    ].join("; ");
    products.close();
    return { available: true, device: description };
  } catch (error) {
    return { available: false, remedy: `${reason(error)} ${LIBRARIES_VARIABLE} may name folders of libraries.` };
  }
}

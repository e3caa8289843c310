// Question: what does a code that a library of CUDA returned mean, and what is to be done?
//
// One table a library. A code that poisons leaves nothing of the context that could be used: the runtime is dead, and
// the last checkpoint is what there is to go on from.

export type LibraryName = "driver" | "compiler" | "products";

interface Meaning {
  readonly name: string;
  /** What has happened, after "the GPU" or the library. */
  readonly what: string;
  readonly remedy?: string;
  readonly poisons?: true;
}

const again = "open another runtime and go on from the last checkpoint (birkhoff train --resume)";
const find = `To find the kernel, set BIRKHOFF_CUDA_CHECK=1, which waits after each; then ${again}.`;
const report = "Please report it with the output of birkhoff doctor.";
const update = "Update the driver, or install a compiler of the driver's version (birkhoff doctor says both).";

/** CUresult, of cuda.h. */
const driver: Readonly<Record<number, Meaning>> = {
  1: { name: "INVALID_VALUE", what: "a call was given what is not allowed", remedy: report },
  2: {
    name: "OUT_OF_MEMORY",
    what: "there is not enough memory left on the GPU",
    remedy:
      "Use a smaller batch, context or width, gradient accumulation, or checkpoint(); or end what else uses the GPU (nvidia-smi).",
  },
  3: { name: "NOT_INITIALIZED", what: "the driver has not been started", remedy: report },
  4: { name: "DEINITIALIZED", what: "the driver is shutting down", poisons: true },
  34: {
    name: "STUB_LIBRARY",
    what: "libcuda is only a stub for linking",
    remedy: "Put the driver's own libcuda.so.1 before it, or install the driver.",
  },
  46: {
    name: "DEVICE_UNAVAILABLE",
    what: "another program has the GPU for itself",
    remedy: "End it, or set the compute mode to default (nvidia-smi -c 0).",
  },
  100: { name: "NO_DEVICE", what: "there is no GPU", remedy: "See nvidia-smi; CUDA_VISIBLE_DEVICES may hide it." },
  101: {
    name: "INVALID_DEVICE",
    what: "there is no GPU of that number",
    remedy: "See nvidia-smi; CUDA_VISIBLE_DEVICES may hide it.",
  },
  200: { name: "INVALID_IMAGE", what: "a compiled kernel cannot be read", remedy: update },
  201: { name: "INVALID_CONTEXT", what: "the context is not that of this thread", remedy: report },
  209: { name: "NO_BINARY_FOR_GPU", what: "a kernel was compiled for another GPU", remedy: update },
  214: {
    name: "ECC_UNCORRECTABLE",
    what: "the GPU's memory has failed (ECC)",
    remedy: `See nvidia-smi -q; ${again}.`,
    poisons: true,
  },
  218: { name: "INVALID_PTX", what: "the driver cannot compile a kernel", remedy: update },
  222: { name: "UNSUPPORTED_PTX_VERSION", what: "the driver is older than the compiler", remedy: update },
  300: { name: "INVALID_SOURCE", what: "the driver is older than the compiler", remedy: update },
  304: { name: "OPERATING_SYSTEM", what: "the operating system has failed", remedy: "See dmesg." },
  400: { name: "INVALID_HANDLE", what: "what a call was given is gone", remedy: report },
  500: { name: "NOT_FOUND", what: "a name is not there", remedy: report },
  600: { name: "NOT_READY", what: "it is not done yet" },
  700: { name: "ILLEGAL_ADDRESS", what: "a kernel went past its memory", remedy: find, poisons: true },
  701: {
    name: "LAUNCH_OUT_OF_RESOURCES",
    what: "a kernel needs more registers or shared memory than the GPU has",
    remedy: report,
  },
  702: {
    name: "LAUNCH_TIMEOUT",
    what: "a kernel took too long for a GPU that also draws a screen",
    remedy: find,
    poisons: true,
  },
  709: { name: "CONTEXT_IS_DESTROYED", what: "the context is gone", remedy: `So ${again}.`, poisons: true },
  710: { name: "ASSERT", what: "a kernel has stopped itself", remedy: find, poisons: true },
  713: { name: "HARDWARE_STACK_ERROR", what: "a kernel's stack is broken", remedy: find, poisons: true },
  714: { name: "HARDWARE_STACK_ERROR", what: "a kernel's stack is broken", remedy: find, poisons: true },
  715: {
    name: "ILLEGAL_INSTRUCTION",
    what: "a kernel met an instruction that the GPU has not",
    remedy: find,
    poisons: true,
  },
  716: {
    name: "MISALIGNED_ADDRESS",
    what: "a kernel used an address that is not aligned",
    remedy: find,
    poisons: true,
  },
  717: {
    name: "INVALID_ADDRESS_SPACE",
    what: "a kernel used an address of another memory",
    remedy: find,
    poisons: true,
  },
  718: { name: "INVALID_PC", what: "a kernel has lost its way", remedy: find, poisons: true },
  719: { name: "LAUNCH_FAILED", what: "a kernel has failed", remedy: find, poisons: true },
  720: {
    name: "COOPERATIVE_LAUNCH_TOO_LARGE",
    what: "a kernel needs more groups at once than the GPU has room for",
    remedy: report,
  },
  800: { name: "NOT_PERMITTED", what: "it is not permitted", remedy: "See whether this user may use /dev/nvidia*." },
  801: { name: "NOT_SUPPORTED", what: "this GPU or driver cannot do it", remedy: report },
  802: {
    name: "SYSTEM_NOT_READY",
    what: "the GPUs are not ready",
    remedy: "On machines with NVSwitch start nvidia-fabricmanager.",
  },
  803: {
    name: "SYSTEM_DRIVER_MISMATCH",
    what: "libcuda and the kernel's module are of two driver versions",
    remedy: "Restart the machine after an update of the driver.",
  },
  804: {
    name: "COMPAT_NOT_SUPPORTED_ON_DEVICE",
    what: "the compatibility package of CUDA does not fit this GPU",
    remedy: "Take it out of LD_LIBRARY_PATH.",
  },
  900: { name: "STREAM_CAPTURE_UNSUPPORTED", what: "a call cannot be part of a graph", remedy: report },
  901: { name: "STREAM_CAPTURE_INVALIDATED", what: "the recording of a graph has been spoilt", remedy: report },
  908: { name: "STREAM_CAPTURE_WRONG_THREAD", what: "a graph was recorded on another thread", remedy: report },
  999: {
    name: "UNKNOWN",
    what: "the driver does not know what has happened",
    remedy: `See dmesg for "Xid"; ${again}.`,
    poisons: true,
  },
};

/** nvrtcResult, of nvrtc.h. */
const compiler: Readonly<Record<number, Meaning>> = {
  1: { name: "OUT_OF_MEMORY", what: "there is not enough memory", remedy: "End other programs." },
  2: { name: "PROGRAM_CREATION_FAILURE", what: "it could not begin", remedy: report },
  3: { name: "INVALID_INPUT", what: "it was given what is not allowed", remedy: report },
  4: { name: "INVALID_PROGRAM", what: "it was given what is not allowed", remedy: report },
  5: {
    name: "INVALID_OPTION",
    what: "it does not know this GPU or one of our options",
    remedy: "Take a newer NVRTC: pip install --upgrade nvidia-cuda-nvrtc.",
  },
  6: {
    name: "COMPILATION",
    what: "a kernel does not compile",
    remedy: `${report} The wasm runtime computes the same.`,
  },
  7: {
    name: "BUILTIN_OPERATION_FAILURE",
    what: "it does not find libnvrtc-builtins, which lies beside it",
    remedy: "Install NVRTC anew: pip install --force-reinstall nvidia-cuda-nvrtc.",
  },
  11: { name: "INTERNAL_ERROR", what: "it has failed", remedy: report },
};

/** cublasStatus_t, of cublas_api.h. */
const products: Readonly<Record<number, Meaning>> = {
  1: {
    name: "NOT_INITIALIZED",
    what: "it could not start",
    remedy: "See whether libcublasLt and the driver are of one version (birkhoff doctor).",
  },
  3: {
    name: "ALLOC_FAILED",
    what: "there is not enough memory left",
    remedy: "Use a smaller batch, context or width.",
  },
  7: { name: "INVALID_VALUE", what: "a call was given what is not allowed", remedy: report },
  8: { name: "ARCH_MISMATCH", what: "this GPU cannot do it", remedy: report },
  11: { name: "MAPPING_ERROR", what: "it does not reach the GPU's memory", remedy: `So ${again}.`, poisons: true },
  13: { name: "EXECUTION_FAILED", what: "a product has failed on the GPU", remedy: find, poisons: true },
  14: { name: "INTERNAL_ERROR", what: "it has failed", remedy: `${report} Then ${again}.`, poisons: true },
  15: { name: "NOT_SUPPORTED", what: "it has no way to multiply these shapes", remedy: report },
};

const libraries: Readonly<
  Record<LibraryName, { readonly title: string; readonly codes: Readonly<Record<number, Meaning>> }>
> = {
  driver: { title: "the driver", codes: driver },
  compiler: { title: "the compiler NVRTC", codes: compiler },
  products: { title: "cuBLASLt", codes: products },
};

/** All codes that have a meaning here. */
export const knownCodes: Readonly<Record<LibraryName, readonly number[]>> = {
  driver: Object.keys(driver).map(Number),
  compiler: Object.keys(compiler).map(Number),
  products: Object.keys(products).map(Number),
};

/** CUDA_ERROR_OUT_OF_MEMORY. */
export const OUT_OF_MEMORY = 2;
/** CUDA_ERROR_NOT_READY. */
export const NOT_READY = 600;
/** CUDA_ERROR_INVALID_CONTEXT. */
export const INVALID_CONTEXT = 201;

/** What a library of CUDA has refused. */
export class CudaError extends Error {
  readonly library: LibraryName;
  readonly call: string;
  readonly code: number;
  /** Nothing of the context can be used any more. */
  readonly poisons: boolean;

  /** @param doing what it was done for, such as the label of a kernel */
  constructor(library: LibraryName, call: string, code: number, doing?: string) {
    const { title, codes } = libraries[library];
    const known = codes[code];
    const { what, remedy, poisons }: Omit<Meaning, "name"> = known ?? { what: "an unknown code", remedy: report };
    const where = doing === undefined ? "" : ` at ${doing}`;
    super(
      `cuda: ${what}${where}: ${title} returned ${code}${known ? ` (${known.name})` : ""} to ${call}.${remedy ? ` ${remedy}` : ""}`,
    );
    this.library = library;
    this.call = call;
    this.code = code;
    this.poisons = poisons === true;
  }
}

// Question: how do the AssemblyScript kernels become the two WebAssembly modules?
// Run: node scripts/build-kernels.ts. Writes src/runtime/wasm/kernels/arguments.ts and then
// src/runtime/wasm/build/{relaxed,simd}.wasm.

import { mkdir, rename, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { signatures } from "../src/runtime/wasm/signatures.ts";
import { interfaceVersion } from "../src/runtime/wasm/version.ts";
import { compileAssemblyScript } from "./asc.ts";
import { argumentClasses } from "./kernel-arguments.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const builds = { relaxed: ["--enable", "relaxed-simd"], simd: [] } satisfies Record<string, string[]>;

await writeFile(`${root}/src/runtime/wasm/kernels/arguments.ts`, argumentClasses(signatures, interfaceVersion()));
await mkdir(`${root}/src/runtime/wasm/build`, { recursive: true });
for (const [name, features] of Object.entries(builds)) {
  const out = `src/runtime/wasm/build/${name}.wasm`;
  await compileAssemblyScript([
    "src/runtime/wasm/kernels/index.ts",
    "--baseDir",
    root,
    "--outFile",
    `${out}.tmp`,
    "-O3",
    "--converge",
    "--noAssert",
    "--runtime",
    "stub",
    "--use",
    "abort=",
    "--enable",
    "simd",
    "--enable",
    "threads",
    ...features,
    "--importMemory",
    "--sharedMemory",
    "--initialMemory",
    "16",
    "--maximumMemory",
    "65536",
    "--importTable",
    "--memoryBase",
    "1024",
  ]);
  await rename(`${root}/${out}.tmp`, `${root}/${out}`);
}

// What the TypeScript compiler leaves undone in dist: the built kernels travel with the compiled library
// (src/runtime/wasm/build -> dist/runtime/wasm/build).

import { cp } from "node:fs/promises";

const root = new URL("..", import.meta.url);
await cp(new URL("src/runtime/wasm/build", root), new URL("dist/runtime/wasm/build", root), { recursive: true });

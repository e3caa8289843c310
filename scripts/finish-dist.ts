// What the TypeScript compiler leaves undone in dist: the built kernels travel with the compiled library
// (src/runtime/wasm/build -> dist/runtime/wasm/build), and the command may be executed, so that `npx birkhoff`
// works in a clone; of an installed package npm sees to that.

import { chmod, cp } from "node:fs/promises";

const root = new URL("..", import.meta.url);
await cp(new URL("src/runtime/wasm/build", root), new URL("dist/runtime/wasm/build", root), { recursive: true });
await chmod(new URL("dist/cli/main.js", root), 0o755);

// What the TypeScript compiler leaves undone in dist: the built kernels travel with the compiled library
// (src/runtime/wasm/build -> dist/runtime/wasm/build), and the command can be executed. npx keeps a link to the command of
// a clone for good: one that was made when dist/cli/main.js was the command still starts it.

import { chmod, cp } from "node:fs/promises";

const root = new URL("..", import.meta.url);
await cp(new URL("src/runtime/wasm/build", root), new URL("dist/runtime/wasm/build", root), { recursive: true });
await chmod(new URL("dist/cli/main.js", root), 0o755);

// Question: what does a page need of Vite to train on all cores?
//
// Two headers, which let workers share memory. Without them everything works on one core. The other lines: the files of
// workers and kernels lie beside the library's modules, so these must stay where they are while one develops.

import type { UserConfig } from "vite";

const headers = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};

const config: UserConfig = {
  base: "./",
  server: { headers },
  preview: { headers },
  optimizeDeps: { exclude: ["birkhoff"] },
};

export default config;

#!/usr/bin/env bash
# The figures of WebGPU, as lines of JSON, on a machine that has a GPU, but no npm and no network.
#
#   NODE=/path/node DAWN_NODE=/path/dawn.node bench/webgpu.sh [--rounds N] [prefix...]
#
# What it expects:
#   NODE        Node 24 or newer; "node" if unset
#   DAWN_NODE   the file dist/<system>/dawn.node of the npm package "webgpu"; if unset the package itself
#   a driver with Vulkan, Metal or Direct3D 12; where Vulkan finds no driver, VK_DRIVER_FILES names its file
#   BIRKHOFF_WEBGPU_TINY=1   tiny sizes, on any adapter: shows that all of this works
# Beside the files of the repository it needs two folders that git ignores, brought along from where npm is:
#   node_modules/zod            (npm ci)
#   src/runtime/wasm/build      (npm run build:kernels), for the step on the processor
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
node=${NODE:-node}
"$node" -e 'if (Number(process.versions.node.split(".")[0]) < 24) { console.error(`bench/webgpu.sh: Node ${process.version} is too old; NODE must name 24 or newer.`); process.exit(1); }'
for folder in node_modules/zod src/runtime/wasm/build; do
  [ -d "$folder" ] || { echo "bench/webgpu.sh: $folder is missing; bring it along (see the head of this file)." >&2; exit 1; }
done
if [ -n "${DAWN_NODE:-}" ] && [ ! -f "$DAWN_NODE" ]; then
  echo "bench/webgpu.sh: DAWN_NODE is $DAWN_NODE, where there is no file; give dawn.node of the package webgpu." >&2
  exit 1
fi
exec "$node" bench/webgpu-alone.ts "$@"

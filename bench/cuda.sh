#!/usr/bin/env bash
# The figures of CUDA, as lines of JSON and a table, on a machine that has an NVIDIA GPU, but no npm and no network. It
# takes at most six minutes.
#
#   NODE=/path/node KOFFI=/path/koffi bench/cuda.sh [--rounds N] [prefix...]
#
# What it expects:
#   NODE               Node 24 or newer; "node" if unset
#   KOFFI              the folder of the npm package "koffi", with @koromix beside it; if unset node_modules/koffi
#   BIRKHOFF_PYTHON    a Python with PyTorch for CUDA, for the figures that compare; "python3" if unset
#   BIRKHOFF_CUDA_LIBRARIES   folders of libnvrtc and libcublasLt, where they are nowhere usual
#   BIRKHOFF_CUDA_TINY=1      tiny sizes, also on the machine of the tests that plays a GPU: shows that all of this works
# Beside the files of the repository it needs node_modules/zod (npm ci), which git ignores.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
node=${NODE:-node}
"$node" -e 'if (Number(process.versions.node.split(".")[0]) < 24) { console.error(`bench/cuda.sh: Node ${process.version} is too old; NODE must name 24 or newer.`); process.exit(1); }'
[ -d node_modules/zod ] || { echo "bench/cuda.sh: node_modules/zod is missing; bring it along (see the head of this file)." >&2; exit 1; }
if [ -n "${KOFFI:-}" ] && [ ! -e node_modules/koffi ]; then
  [ -f "$KOFFI/package.json" ] || { echo "bench/cuda.sh: KOFFI is $KOFFI, where there is no package; give the folder of the npm package koffi." >&2; exit 1; }
  cp -r "$KOFFI" node_modules/koffi
  cp -r "$KOFFI/../@koromix" node_modules/@koromix
fi
exec timeout 360 "$node" bench/cuda-alone.ts "$@"

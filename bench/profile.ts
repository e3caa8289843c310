// Question: where does the extra time of mHC go?
//
//   node bench/profile.ts [--width 256] [--streams 4] [--precision float32] [--rounds 5] [--labels]
//
// It times forward and backward of a whole model (`overhead.ts`) with residuals and with mHC, call by call on one thread,
// with chains as they run. There is one line per kernel, the largest difference first: milliseconds (each task's best of
// the rounds), and the bytes and FLOPs per second of the mHC program's calls. Bytes are those of all operands, once per
// call; within a chain most of them come from the cache. With `--labels` there is one line for each operation of a
// sublayer instead, summed over the layers.

import { parseArgs } from "node:util";
import type { Call } from "../src/runtime/plan/calls.ts";
import { createWasmRuntime } from "../src/runtime/wasm/node/runtime.ts";
import { forwardBackward, sizes } from "./lib/forward-backward.ts";
import { compareProfiles, profileTable } from "./lib/profile.ts";
import { precisions } from "./overhead.ts";

const { values } = parseArgs({
  options: {
    width: { type: "string", default: "256" },
    streams: { type: "string", default: "4" },
    precision: { type: "string", default: "float32" },
    rounds: { type: "string", default: "5" },
    labels: { type: "boolean", default: false },
  },
});

const size = sizes[Number(values.width)];
if (!size) throw new Error(`--width is ${values.width}; choose from ${Object.keys(sizes).join(", ")}.`);
const precision = precisions[values.precision];
if (!precision)
  throw new Error(`--precision is ${values.precision}; choose from ${Object.keys(precisions).join(", ")}.`);
const rounds = Number(values.rounds);
if (!Number.isInteger(rounds) || rounds < 1) throw new Error(`--rounds is ${values.rounds}; it must be 1 or more.`);

const runtime = await createWasmRuntime({ threads: 1 });
const programs = [
  forwardBackward(runtime, size, { kind: "residual" }),
  forwardBackward(runtime, size, { kind: "mhc", streams: Number(values.streams), ...precision }),
];
for (const program of programs) program.profile();
const [residual, connected] = programs.map((program) => program.profile(rounds));
runtime.close();

const operationOf = ({ label, kernel }: Call): string => {
  const name = label.replace(/^layers\.\d+\./, "");
  return name.endsWith(`:${kernel}`) || name === kernel ? name : `${name}/${kernel}`;
};
const rows = compareProfiles(residual!, connected!, values.labels ? operationOf : ({ kernel }) => kernel);
process.stdout.write(profileTable(rows));

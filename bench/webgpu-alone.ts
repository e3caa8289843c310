// Question: how are the figures of WebGPU measured on a machine that has a GPU and little else?
//
//   node bench/webgpu-alone.ts [--rounds N] [prefix...]
//
// As `birkhoff bench webgpu --json`, but without what the other figures need. See webgpu.sh.

import { parseArgs } from "node:util";
import { report } from "./lib/report.ts";
import { webgpu } from "./webgpu.ts";

const { values, positionals } = parseArgs({
  options: { rounds: { type: "string", default: "8" } },
  allowPositionals: true,
});
const names = webgpu.names.filter(
  (name) => positionals.length === 0 || positionals.some((prefix) => name.startsWith(prefix)),
);
if (names.length === 0) throw new Error(`No figure's name starts so; the figures are: ${webgpu.names.join(", ")}.`);
const figures = webgpu.measure(names, {
  rounds: Number(values.rounds),
  note: (text) => void process.stderr.write(`${text}\n`),
});
await report(figures, { json: true, write: (text) => void process.stdout.write(text) });
// What WebGPU holds open does not end by itself.
process.exit();

// Question: how are the figures of CUDA measured on a machine that has a GPU and little else?
//
//   node bench/cuda-alone.ts [--rounds N] [prefix...]
//
// Lines of JSON on standard output; at the end a table on standard error. See cuda.sh.

import { parseArgs } from "node:util";
import { cuda } from "./cuda.ts";
import { type Figure, report } from "./lib/report.ts";

const { values, positionals } = parseArgs({
  options: { rounds: { type: "string", default: "8" } },
  allowPositionals: true,
});
const names = cuda.names.filter(
  (name) => positionals.length === 0 || positionals.some((prefix) => name.startsWith(prefix)),
);
if (names.length === 0) throw new Error(`No figure's name starts so; the figures are: ${cuda.names.join(", ")}.`);
const note = (text: string): void => void process.stderr.write(`${text}\n`);
const found: Figure[] = [];
async function* kept(): AsyncGenerator<Figure> {
  for await (const figure of cuda.measure(names, { rounds: Number(values.rounds), note })) {
    found.push(figure);
    yield figure;
  }
}
async function* again(): AsyncGenerator<Figure> {
  yield* await Promise.resolve(found);
}
await report(kept(), { json: true, write: (text) => void process.stdout.write(text) });
await report(again(), { json: false, write: (text) => void process.stderr.write(text) });

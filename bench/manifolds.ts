// Question: what does each choice for H_res cost?
//
// The unit is nanoseconds per token, from logits to matrices and from the gradient of the matrices to that of the
// logits, on one thread, as a median. Sinkhorn takes turns with each map and is shown beside it.

import { type ResidualMapName, residualMapNames, residualMaps } from "../src/connections/manifolds/table.ts";
import { normal, streams } from "../src/data/random.ts";
import { gradients } from "../src/ops/gradients.ts";
import { input } from "../src/graph/state.ts";
import type { Tensor } from "../src/graph/tensor.ts";
import { multiply } from "../src/ops/elementwise.ts";
import { sum } from "../src/ops/reductions.ts";
import { createWasmRuntime } from "../src/runtime/wasm/node/runtime.ts";
import type { WasmRuntime } from "../src/runtime/wasm/runtime.ts";
import type { Group } from "./lib/group.ts";
import { type Contestant, interleave, type Timing } from "./lib/interleave.ts";
import { type Measured, rate, type Side } from "./lib/report.ts";

const TOKENS = 2048;
/** The approximate duration of a turn of a map. */
const TURN_MS = 10;
const STREAMS = [4, 8] as const;

type Choice = { readonly map: ResidualMapName; readonly n: number };

const choices: readonly (Choice & { readonly name: string })[] = STREAMS.flatMap((n) =>
  residualMapNames
    .filter((map) => residualMaps[map].supports(n) === true && residualMaps[map].size(n) > 0)
    .map((map) => ({ name: `manifold.${map}.n${n}`, map, n })),
);

/** Forward and backward of a map for TOKENS tokens, with normally distributed logits and cotangents. */
function contestant(runtime: WasmRuntime, { map, n }: Choice): Contestant {
  const size = residualMaps[map].size(n);
  const logits = input("logits", [TOKENS, size]);
  const cotangent = input("cotangent", [TOKENS, n * n]);
  const h = residualMaps[map].project(logits, n);
  const [dlogits] = gradients(sum(multiply(h, cotangent)), [logits]);
  const program = runtime.compile({ outputs: { h, dlogits: dlogits! } });
  let counter = 0;
  const draw = (tensor: Tensor, count: number): void =>
    runtime.write(
      tensor,
      Float32Array.from({ length: count }, () => normal(1, streams.studies, counter++)),
    );
  draw(logits, TOKENS * size);
  draw(cotangent, TOKENS * n * n);
  const time = (): number => {
    const started = performance.now();
    program.run();
    return performance.now() - started;
  };
  return {
    label: map,
    async measure() {
      const times = [time()];
      while (times.reduce((a, b) => a + b, 0) < TURN_MS) times.push(time());
      return times;
    },
  };
}

function perToken(timing: Timing): Side {
  return rate(timing, "median", "ns/token", (ms) => (1e6 * ms) / TOKENS);
}

export const manifolds: Group = {
  names: choices.map(({ name }) => name),
  onRequest: true,
  async *measure(names, { rounds, note }) {
    const runtime = await createWasmRuntime({ threads: 1 });
    try {
      for (const n of STREAMS) {
        const wanted = choices.filter((choice) => choice.n === n && names.includes(choice.name));
        if (wanted.length === 0) continue;
        note(`timing ${wanted.length} choices for H_res, ${n} streams`);
        const entrants: readonly Choice[] = [{ map: "sinkhorn", n }, ...wanted];
        const timings = await interleave(
          entrants.map((choice) => contestant(runtime, choice)),
          { rounds },
        );
        const theirs = perToken(timings[0]!);
        for (const [index, { name }] of wanted.entries()) {
          const ours = perToken(timings[index + 1]!);
          yield { name, value: ours.value, unit: ours.unit, higher_is_better: false, ours, theirs } satisfies Measured;
        }
      }
    } finally {
      runtime.close();
    }
  },
};

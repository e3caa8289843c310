// Question: what do numbers of streams, maps that are left out and heads that mix cost in a model?
//
// Forward and backward of a whole model of width 256 (lib/forward-backward.ts), beside the same model with plain residuals
// and plain attention. The figure is the extra time as a fraction of the plain model's, measured as the chart of overheads
// is: call by call on one thread, with the best time of every call over the rounds, while the two take turns.
//
//   mhc.cost.n8            mHC with so many streams
//   mhc.maps.pre-post      mHC of four streams that learns these maps; beside mhc.cost.n4, what the others save
//   heads.mixing.values    plain residuals; each token mixes what its heads have

import { given } from "../src/basics/given.ts";
import { learnedMapNames } from "../src/connections/learned-maps.ts";
import { mixedParts } from "../src/model/head-mixing.ts";
import { createWasmRuntime } from "../src/runtime/wasm/node/runtime.ts";
import { forwardBackward, type Size } from "./lib/forward-backward.ts";
import type { Group } from "./lib/group.ts";
import { profiled } from "./overhead.ts";

/** Small enough for sixteen streams beside the plain model. */
const SIZE: Size = { width: 256, layers: 2, heads: 8, context: 256, batch: 2 };

interface Variant {
  readonly name: string;
  readonly connection?: object;
  readonly headMixing?: object;
}

const variants: readonly Variant[] = [
  ...[1, 2, 3, 4, 6, 8, 12, 16].map((streams) => ({
    name: `mhc.cost.n${streams}`,
    connection: { kind: "mhc", streams },
  })),
  ...learnedMapNames.map((maps) => ({ name: `mhc.maps.${maps}`, connection: { kind: "mhc", streams: 4, maps } })),
  ...mixedParts.map((of) => ({ name: `heads.mixing.${of}`, headMixing: { of } })),
];

export const variantCosts: Group = {
  names: variants.map(({ name }) => name),
  onRequest: true,
  async *measure(names, { rounds, note }) {
    const plain = { kind: "residual" };
    for (const { name, connection = plain, headMixing } of variants.filter((each) => names.includes(each.name))) {
      const runtime = await createWasmRuntime({ threads: 1 });
      try {
        const programs = [
          forwardBackward(runtime, SIZE, plain),
          forwardBackward(runtime, SIZE, connection, given({ headMixing })),
        ];
        note(`profiling ${name}: ${rounds} rounds`);
        const [theirs, ours] = profiled(programs, rounds);
        yield {
          name,
          value: ours! / theirs! - 1,
          unit: "extra",
          higher_is_better: false,
          ours: { label: name, value: ours!, unit: "ms" },
          theirs: { label: "plain", value: theirs!, unit: "ms" },
        };
      } finally {
        runtime.close();
      }
    }
  },
};

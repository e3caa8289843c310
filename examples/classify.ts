// Train a classifier of the generated images, step by step, and count its right answers. vision-transformer.ts and
// mlp-mixer.ts share this file. A network is any function from pixels to scores.

import {
  type Connection,
  createParameters,
  initialise,
  input,
  mhc,
  openRuntime,
  parameterCount,
  type ParameterSet,
  residual,
  type Tensor,
} from "birkhoff";
import { crossEntropy, matmul, mean } from "birkhoff/ops";
import { trainNet } from "birkhoff/runs";
import { CLASSES, drawImages, type Images, PIXELS, uniform } from "./images.ts";

/** Images of a batch. */
export const BATCH = 64;

/** pixels [BATCH, 256] → scores [BATCH, 8]. It makes its parameters in the set. */
export type Network = (pixels: Tensor, connection: Connection, parameters: ParameterSet) => Tensor;

/** The share of held-out images that each model classifies correctly. */
export interface Accuracies {
  readonly linear: number;
  readonly residual: number;
  readonly mhc: number;
}

const linear: Network = (pixels, _, parameters) =>
  matmul(pixels, parameters.create("head", [PIXELS, CLASSES], { normal: 0.02 }, "weight"));

/** Train a network with the plain residual and with mHC, and a linear model of the pixels for comparison. */
export async function compare(name: string, network: Network, steps: number): Promise<Accuracies> {
  const accuracies = {
    linear: await train("linear model", linear, residual(), steps),
    residual: await train(`${name}, residual`, network, residual(), steps),
    mhc: await train(`${name}, mHC`, network, mhc({ streams: 4 }), steps),
  };
  process.stdout.write("Models of this size say nothing about which connection is better at other sizes.\n");
  return accuracies;
}

async function train(name: string, network: Network, connection: Connection, steps: number): Promise<number> {
  const [learned, heldOut] = [drawImages(16384, 1), drawImages(1024, 2)];
  const parameters = createParameters();
  const pixels = input("pixels", [BATCH, PIXELS]);
  const labels = input("labels", [BATCH], "i32");
  const scores = network(pixels, connection, parameters);
  const loss = mean(crossEntropy(scores, labels));
  const batchOf = ({ pixels: all, labels: names }: Images, chosen: readonly number[]) =>
    [
      [pixels, chosen.flatMap((image) => [...all.subarray(image * PIXELS, (image + 1) * PIXELS)])],
      [labels, chosen.map((image) => names[image]!)],
    ] as const;

  const runtime = await openRuntime();
  initialise(runtime, parameters, 1);
  const random = uniform(3);
  const started = performance.now();
  await trainNet(
    runtime,
    { parameters, loss },
    {
      steps,
      batch: () =>
        batchOf(
          learned,
          Array.from({ length: BATCH }, () => Math.floor(random() * learned.labels.length)),
        ),
      learningRate: (t) => 3e-3 * Math.min(t / 20, 0.5 + 0.5 * Math.cos((Math.PI * t) / steps)),
      weightDecay: 0,
      onStep: ({ step, loss: value }) =>
        void (step % 100 === 0 && process.stdout.write(`${name}: step ${step}, loss ${value.toFixed(3)}\n`)),
    },
  );
  const seconds = (performance.now() - started) / 1000;

  const look = runtime.compile({ outputs: { scores } });
  let right = 0;
  for (let first = 0; first < heldOut.labels.length; first += BATCH) {
    const chosen = Array.from({ length: BATCH }, (_, i) => first + i);
    for (const [tensor, values] of batchOf(heldOut, chosen)) runtime.write(tensor, values);
    look.run();
    const values = await look.read("scores");
    for (let i = 0; i < BATCH; i++) {
      const row = values.subarray(i * CLASSES, (i + 1) * CLASSES);
      if (row.indexOf(Math.max(...row)) === heldOut.labels[first + i]) right += 1;
    }
  }
  runtime.close();
  const accuracy = right / heldOut.labels.length;
  process.stdout.write(
    `${name}: ${(100 * accuracy).toFixed(1)} % of 1024 held-out images right, ` +
      `${parameterCount(parameters)} parameters, ${seconds.toFixed(1)} s\n`,
  );
  return accuracy;
}

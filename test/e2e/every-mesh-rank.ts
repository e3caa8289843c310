// Question: which losses has every mesh of the ranks of a job?
//
//   mpirun -n 4 node test/e2e/every-mesh-rank.ts
//
// One job trains every model on every mesh, one after another, for to start four processes takes longer than to train. Rank 0
// prints the losses as one line of JSON.

import { openCollective } from "../../src/runtime/collective/open.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import { createMesh, showMesh } from "../../src/training/parallel/mesh.ts";
import { createPipelinedTrainer } from "../../src/training/parallel/pipeline/trainer.ts";
import { createTrainer, type Trainer } from "../../src/training/trainer.ts";
import { tinyBatches } from "../training/tiny.ts";
import { asked, type Asked, meshes, models, nameOf, STEPS } from "./every-mesh.ts";

/** Small buckets: parameters are cut, and several buckets are under way. */
const bucketBytes = 2048;
const world = await openCollective();
const runtime = await createWasmRuntime({ threads: 1 });
// A job has room for few groups, so all trainings on a mesh share its.
const places = new Map(meshes.map((size) => [showMesh(size), createMesh(world, size)]));

function trainerOf({ model, size, sharded }: Asked): Trainer {
  const mesh = places.get(showMesh(size))!;
  const config = { ...models[model]!, sharded };
  const batches = tinyBatches(config);
  if (size.pipeline > 1)
    return createPipelinedTrainer(runtime, config, batches, mesh, { schedule: "1f1b", chunks: 1, bucketBytes });
  return createTrainer(runtime, config, batches, { ...mesh, rows: Object.assign({}, mesh.rows, { bucketBytes }) });
}

const losses: Record<string, number[]> = {};
for (const each of asked) {
  const trainer = trainerOf(each);
  const own: number[] = [];
  for (let step = 0; step < STEPS; step++) own.push((await trainer.trainStep()).loss);
  trainer.release();
  losses[nameOf(each)] = own;
}
if (world.rank === 0) process.stdout.write(`${JSON.stringify(losses)}\n`);
await world.close();
runtime.close();

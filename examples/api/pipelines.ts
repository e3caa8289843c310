import { compareSchedules, passCosts } from "birkhoff/pipelines";

const times = { forward: 1, backward: 2, weights: 1 }; // of a stage; the weights are a part of the backward pass
const shape = { stages: 4, microBatches: 8, chunks: 2 };
for (const row of compareSchedules(shape, (chunks) => passCosts(times, chunks))) console.log(row);

import { writeFileSync } from "node:fs";
import { passCosts, simulateSchedule, timelineSvg } from "birkhoff/pipelines";

const times = { forward: 1, backward: 2, weights: 1 };
const run = simulateSchedule("1f1b", { stages: 4, microBatches: 8, chunks: 1 }, (chunks) => passCosts(times, chunks));
writeFileSync("1f1b.svg", timelineSvg([{ title: "1F1B", run }]));

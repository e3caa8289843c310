import { countLossSpikes, optimumRate, rateTolerance } from "birkhoff/runs";

const losses = Array.from({ length: 200 }, (_, step) => 4 - 0.01 * step + (step === 150 ? 2 : 0));
console.log(countLossSpikes(losses)); // 1
const bitsPerByte = [1.5, 1.4, 1.45, 1.9];
const curve = [1e-3, 3e-3, 1e-2, 3e-2].map((learningRate, i) => ({ learningRate, bitsPerByte: bitsPerByte[i]! }));
console.log(optimumRate(curve), rateTolerance(curve)); // the best rate, and how far one may miss it

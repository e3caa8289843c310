import { amaxGain, eigenvalueModuli, singularValues, watchAlarms } from "birkhoff/stability";

const mixing = [0.9, 0.1, 0.2, 0.8]; // 2 × 2, row by row; a row makes an output stream
console.log(amaxGain(mixing, 2), singularValues(mixing, 2), eigenvalueModuli(mixing, 2));

const subject = { chance: Math.log(256), doublyStochastic: [], constrained: false, startsMixing: [] };
const watch = watchAlarms(new Map(), subject);
console.log(watch);

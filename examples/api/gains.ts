import { measureGains } from "birkhoff";

// Two sublayers, one token, n = 2 streams: pre | post | res, res row by row.
const first = [0.5, 0.5, 1, 1, 1.2, 0.3, 0.1, 0.9];
const second = [0.5, 0.5, 1, 1, 1, 0.5, 0, 1];
const { single, composite } = measureGains([first, second], 2, 1);
console.log(single.forward, composite.forward); // of each matrix, and of the product up to each

// Adds a gradient over all processes of a job. Started by `birkhoff launch` or `mpirun` there are several; else there is one.

import { openCollective } from "birkhoff/runtime";

const collective = await openCollective();
const gradient = Float32Array.of(1, 2, 3);

const sum = collective.allReduce(gradient); // begun; compute something else meanwhile
collective.progress();
await sum.done();

console.log(`rank ${collective.rank} of ${collective.size}: ${gradient.join(" ")}`); // rank 0 of 1: 1 2 3
await collective.close();

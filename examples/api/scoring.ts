import { createParameters, initialise, openRuntime } from "birkhoff";
import { createLanes, scoreContinuations } from "birkhoff/evaluation";
import { defaultConnection, languageModel, presets } from "birkhoff/models";

const sizes = { vocabulary: 256, ropeTheta: 10000, normEpsilon: 1e-6 };
const parameters = createParameters();
const model = languageModel({ ...presets.nano, ...sizes, connection: defaultConnection("mhc") }, parameters);
const runtime = await openRuntime();
initialise(runtime, parameters, 1); // or the values of a checkpoint
const request = { context: [72, 105], continuations: [[33], [44, 32, 121]] };
for await (const { scores } of scoreContinuations(createLanes(runtime, model), [request]))
  console.log(scores.map(({ logProbability }) => logProbability));
runtime.close();

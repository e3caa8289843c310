import { createParameters, initialise, openRuntime } from "birkhoff";
import { createGenerator, defaultConnection, languageModel, presets, samplingRandom } from "birkhoff/models";

const sizes = { vocabulary: 256, ropeTheta: 10000, normEpsilon: 1e-6 };
const parameters = createParameters();
const model = languageModel({ ...presets.nano, ...sizes, connection: defaultConnection("mhc") }, parameters);
const runtime = await openRuntime();
initialise(runtime, parameters, 1); // or the values of a checkpoint
const generator = createGenerator(runtime, model);
const random = samplingRandom(7);
for await (const token of generator.generate([72, 105], { maxTokens: 8, temperature: 0.8, random })) console.log(token);
runtime.close();

import { createParameters, initialise } from "birkhoff";
import { createGenerator, defaultConnection, languageModel, presets, samplingRandom } from "birkhoff/models";
import { createWasmRuntime } from "birkhoff/runtime";

const sizes = { vocabulary: 256, ropeTheta: 10000, normEpsilon: 1e-6 };
const parameters = createParameters();
const model = languageModel({ ...presets.nano, ...sizes, connection: defaultConnection("mhc") }, parameters);
const runtime = await createWasmRuntime();
initialise(runtime, parameters, 1); // or the values of a checkpoint
const generator = createGenerator(runtime, model);
const random = samplingRandom(7);
console.log([...generator.generate([72, 105], { maxTokens: 8, temperature: 0.8, random })]);
runtime.close();

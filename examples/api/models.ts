import { createParameters, input, parameterCount } from "birkhoff";
import { defaultConnection, languageModel, presets } from "birkhoff/models";

const sizes = { vocabulary: 256, ropeTheta: 10000, normEpsilon: 1e-6 };
const parameters = createParameters();
const config = { ...presets.nano, ...sizes, connection: defaultConnection("mhc") };
const model = languageModel(config, parameters);
const tokens = input("tokens", [2, config.context], "i32");
const targets = input("targets", [2, config.context], "i32");
console.log(model.loss(model.hidden(tokens).hidden_NC, targets).shape, parameterCount(parameters));

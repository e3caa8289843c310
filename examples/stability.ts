// Why constrain the mixing? Take sixty-four untrained sublayers with random mixing matrices: how much can they amplify a
// signal together, with Hyper-Connections and with mHC?
// Run: node examples/stability.ts
//
// Both start from their defaults (close to the identity). Then the same normal noise of deviation 0.3 is added to every
// bias. For HC the bias is the matrix H_res itself; for mHC it is the logits that Sinkhorn-Knopp projects. The composite
// gain (mHC, arXiv 2512.24880, section 3.1) is the largest |row sum| (forward) or |column sum| (backward) of the product
// of the matrices, averaged over a sequence's tokens.

import {
  type Connection,
  createParameters,
  type Gains,
  hc,
  initialValues,
  input,
  mhc,
  measureGains,
  openRuntime,
  type Tensor,
} from "birkhoff";
import { matmul, rmsNorm, tanh } from "birkhoff/ops";

const [depth, tokens, channels, streams] = [64, 32, 32, 4];

async function gainsOf(connection: Connection): Promise<Gains> {
  const parameters = createParameters();
  const x = input("x", [tokens, channels]);
  const coefficients: Tensor[] = [];
  let state = connection.expand(x);
  for (let index = 0; index < depth; index++) {
    const own = parameters.under(`block${index}`);
    const weight = own.create("weight", [channels, channels], { normal: channels ** -0.5 }, "weight");
    const norm = own.create("norm", [channels], { constant: 1 }, "norm");
    const sublayer = connection.sublayer(own, { channels, index });
    const result = sublayer.apply(state, (u) => tanh(matmul(rmsNorm(u, norm), weight)));
    state = result.state;
    coefficients.push(result.coefficients!);
  }

  const runtime = await openRuntime();
  const program = runtime.compile({ outputs: { coefficients } });
  for (const parameter of parameters.all) {
    const noise = initialValues({ ...parameter, initial: { normal: 0.3 } }, 1);
    const start = initialValues(parameter, 1);
    runtime.write(parameter.tensor, parameter.name.endsWith("bias") ? start.map((b, i) => b + noise[i]!) : start);
  }
  runtime.write(
    x,
    Float32Array.from({ length: tokens * channels }, (_, i) => Math.sin(0.7 * i)),
  );
  program.run();
  const measured = measureGains(await program.read("coefficients"), streams, tokens);
  runtime.close();
  return measured;
}

export const gains: { readonly hc: Gains; readonly mhc: Gains } = {
  hc: await gainsOf(hc({ streams })),
  mhc: await gainsOf(mhc({ streams })),
};

const show = (gain: number): string => gain.toPrecision(3).padStart(9);
const bar = (gain: number): string => "█".repeat(Math.max(0, Math.round(6 * Math.log10(gain))));
const lines = ["sublayers  HC forward  HC backward  mHC forward  mHC backward   HC forward, log scale"];
for (let count = 1; count <= depth; count *= 2) {
  const cells = [gains.hc, gains.mhc].flatMap(({ composite: { forward, backward } }) => [
    show(forward[count - 1]!), // sublayers 1 to count
    show(backward[depth - count]!), // the last `count` sublayers
  ]);
  lines.push(`${String(count).padStart(9)}  ${cells.join("    ")}      ${bar(gains.hc.composite.forward[count - 1]!)}`);
}
process.stdout.write(`${lines.join("\n")}\n`);

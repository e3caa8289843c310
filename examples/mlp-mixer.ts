// An MLP-mixer (Tolstikhin et al. 2021, arXiv 2105.01601) whose blocks are joined by mHC. It has no attention: a small
// network across the patches of an image alternates with one across the channels of a patch. It gets more than 95 % of
// the held-out images right, like a vision transformer of the same size.
// Run: node examples/mlp-mixer.ts
//
// Legend: B images, P patches, N = B·P tokens, C channels.

import { type ParameterSet, type Tensor } from "birkhoff";
import { gelu, matmul, meanLast, permute, reshape, rmsNorm } from "birkhoff/ops";
import { type Accuracies, BATCH as B, compare, type Network } from "./classify.ts";
import { CLASSES } from "./images.ts";

const [P, C, layers] = [16, 32, 3];

const network: Network = (pixels, connection, parameters) => {
  const patches_NK = reshape(permute(reshape(pixels, [B, 4, 4, 4, 4]), [0, 1, 3, 2, 4]), [B * P, 16]);
  const embed_KC = parameters.create("embed", [16, C], { normal: 0.25 }, "weight");

  let state = connection.expand(matmul(patches_NK, embed_KC));
  for (let index = 0; index < 2 * layers; index++) {
    const own = parameters.under(`block${index}`);
    const block = index % 2 === 0 ? mixPatches(own) : mixChannels(own);
    const norm_C = own.create("norm", [C], { constant: 1 }, "norm");
    const sublayer = connection.sublayer(own.under("connection"), { channels: C, index });
    state = sublayer.apply(state, (x_NC) => block(rmsNorm(x_NC, norm_C))).state;
  }

  const last_C = parameters.create("norm", [C], { constant: 1 }, "norm");
  const head = parameters.create("head", [C, CLASSES], { normal: 0.1 }, "weight");
  const hidden_BPC = reshape(rmsNorm(connection.collapse(state), last_C), [B, P, C]);
  return matmul(meanLast(permute(hidden_BPC, [0, 2, 1])), head);
};

/** Two layers over the last axis, `size` wide. */
function perceptron(own: ParameterSet, size: number): (x: Tensor) => Tensor {
  const up = own.create("up", [size, 4 * size], { normal: 0.8 / Math.sqrt(size) }, "weight");
  const down = own.create("down", [4 * size, size], { normal: 0.3 / Math.sqrt(size) }, "weight");
  return (x) => matmul(gelu(matmul(x, up)), down);
}

const mixChannels = (own: ParameterSet): ((x_NC: Tensor) => Tensor) => perceptron(own, C);

/** The same, with the axes of patches and channels exchanged before and after. */
function mixPatches(own: ParameterSet): (x_NC: Tensor) => Tensor {
  const across = perceptron(own, P);
  return (x_NC) => {
    const x_BCP = permute(reshape(x_NC, [B, P, C]), [0, 2, 1]);
    return reshape(permute(across(x_BCP), [0, 2, 1]), [B * P, C]);
  };
}

export const accuracies: Accuracies = await compare("MLP-mixer", network, 400);

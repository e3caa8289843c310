// Question: how does the CPU lay the parts of latent attention side by side?

import {
  type LatentHeadsAttributes,
  latentHeadsBackwardOperation,
  latentHeadsOperation,
} from "../../../ops/latent-heads.ts";
import type { Words } from "../call.ts";
import { type Implementation, rowwise } from "../implement.ts";

function sizes(_: unknown, attributes: LatentHeadsAttributes): Words<"latentHeads"> {
  const { heads, rotarySize, contentSize, valueSize } = attributes;
  return { heads, rotary: rotarySize, content: contentSize, value: valueSize };
}

export const latentHeads: readonly Implementation[] = [
  rowwise(latentHeadsOperation, "latentHeads", { words: sizes }),
  rowwise(latentHeadsBackwardOperation, "latentHeadsBackward", { words: sizes }),
];

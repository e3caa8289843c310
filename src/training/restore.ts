// Question: how are saved tensors written back to a runtime?

import type { Parameter } from "../graph/parameters.ts";
import { sizeOf } from "../graph/tensor.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { SavedTensor } from "./state.ts";

/**
 * Write tensors by their names. One that is optional and not saved becomes zeros.
 *
 * @param file where they are saved, for messages
 * @throws Error when one is missing or has another shape
 */
export function restoreTensors(
  runtime: Runtime,
  wanted: readonly (Pick<Parameter, "name" | "tensor"> & { readonly optional?: true })[],
  saved: readonly SavedTensor[],
  file: "model" | "optimizer",
): void {
  const byName = new Map(saved.map((tensor) => [tensor.name, tensor]));
  for (const { name, tensor, optional } of wanted) {
    const found = byName.get(name);
    if (!found && optional) {
      runtime.write(tensor, new Float32Array(sizeOf(tensor.shape)));
      continue;
    }
    if (!found)
      throw new Error(
        `The checkpoint's ${file} file has no tensor "${name}"; it belongs to another model${file === "optimizer" ? ", or was made with another optimizer" : ""}.`,
      );
    if (found.shape.join() !== tensor.shape.join()) {
      throw new Error(
        `The checkpoint's "${name}" has shape [${found.shape.join(", ")}], the model needs [${tensor.shape.join(", ")}].`,
      );
    }
    runtime.write(tensor, found.data);
  }
}

// Question: how do models with different connections come to the same number of parameters?
//
// Connections with streams have parameters of their own. The largest model stays as it is; the others get a wider
// feed-forward. A column of it has 3 C parameters in each of L layers, so what is left is at most half of 3 C L.

import { parameterCount } from "../graph/parameters.ts";
import type { ModelConfig } from "./config.ts";
import { modelParameters } from "./language-model.ts";

/**
 * The models with as many parameters as the largest of them, as near as a whole number of columns allows.
 *
 * @param models without mixtures of experts
 */
export function equallySized(models: readonly ModelConfig[]): ModelConfig[] {
  const counts = models.map((model) => parameterCount(modelParameters(model)));
  const most = Math.max(...counts);
  return models.map((model, index) => ({
    ...model,
    hidden: model.hidden + Math.round((most - counts[index]!) / (3 * model.width * model.layers)),
  }));
}

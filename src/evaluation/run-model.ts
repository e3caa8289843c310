// Question: how does the last checkpoint of a run become a model that answers?

import path from "node:path";
import { setImmediate } from "node:timers/promises";
import { sha256 } from "../files/hash.ts";
import { readText } from "../files/read.ts";
import { readTokenizer } from "../data/tokenizer-file.ts";
import { createParameters } from "../graph/parameters.ts";
import { createLanes, type LaneOptions } from "../model/lanes.ts";
import { languageModel } from "../model/language-model.ts";
import { latestCheckpoint, loadModel, weightsHash } from "../runs/checkpoint.ts";
import { openRunFolder } from "../runs/run-folder.ts";
import { inPrecision } from "../runtime/precision.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { parseTrainingConfig, type TrainingConfig } from "../training/config.ts";
import { restoreTensors } from "../training/restore.ts";
import type { Answerer } from "./answers.ts";

/** A run whose model can be asked. */
export interface EvaluatedRun {
  readonly folder: string;
  readonly config: TrainingConfig;
  /** The checkpoint's step. */
  readonly step: number;
  /** What the answers depend on: of the weights and the tokenizer the SHA-256. */
  readonly identity: Readonly<Record<string, string | number>>;
  /** Load the weights into a runtime, once. */
  open(runtime: Runtime, lanes?: LaneOptions): Answerer;
}

/**
 * Look for a run's last checkpoint.
 *
 * @param onWarning hears of checkpoints that are damaged
 * @throws Error when the folder is no run or has no checkpoint
 */
export function openRunModel(folder: string, onWarning: (message: string) => void): EvaluatedRun {
  const { config: described } = openRunFolder(folder);
  const config = parseTrainingConfig(described, path.join(folder, "config.json"));
  const place = latestCheckpoint(folder, onWarning);
  if (!place) throw new Error(`${folder} has no checkpoint yet; train it first: birkhoff train --resume ${folder}`);
  const tokenizerFile = path.join(folder, "tokenizer.json");
  return {
    folder,
    config,
    step: place.step,
    identity: {
      weights: weightsHash(place.folder),
      tokenizer: sha256(readText(tokenizerFile)),
      precision: config.precision ?? "float32",
    },
    open(runtime, lanes) {
      const precise = inPrecision(runtime, config.precision);
      const parameters = createParameters();
      const model = languageModel(config.model, parameters);
      restoreTensors(precise, parameters.all, loadModel(place.folder).model, "model");
      return {
        lanes: createLanes(precise, model, { pause: setImmediate, ...lanes }),
        tokenizer: readTokenizer(tokenizerFile),
        context: config.model.context,
      };
    },
  };
}

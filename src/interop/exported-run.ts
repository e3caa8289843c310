// Question: what of a run is written for other programs, and where may it be written?
//
// The last checkpoint's model and the tokenizer. A run's folder is never written to: other formats have files of the
// same names.

import fs from "node:fs";
import path from "node:path";
import { given } from "../basics/given.ts";
import { formatTokenizer } from "../data/tokenizer-json.ts";
import { readTokenizer } from "../data/tokenizer-file.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import { writeFileAtomically } from "../files/atomic.ts";
import { isSamePlace } from "../files/places.ts";
import type { ModelConfig } from "../model/config.ts";
import { latestCheckpoint, loadModel } from "../runs/checkpoint.ts";
import { openRunFolder } from "../runs/run-folder.ts";
import { parseTrainingConfig } from "../training/config.ts";

/** A run's configuration, before its checkpoint is read. */
export interface ExportedRun {
  readonly model: ModelConfig;
  /** Reads the last checkpoint. */
  load(): { readonly step: number; tensor(name: string): Float32Array };
  /** Undefined where the run has none; only an imported one may. */
  readonly tokenizer: () => Tokenizer | undefined;
}

export const tokenizerNames = ["tokenizer.json", "tokenizer_config.json"] as const;

/** What may be replaced, and where warnings go. */
export interface ExportOptions {
  /** Whether existing files may be replaced. Default false. */
  readonly overwrite?: boolean;
  readonly onWarning?: (message: string) => void;
}

/** @throws Error when the folder is no run, or, from `load`, when it has no checkpoint or that of another model */
export function openExported(run: string, onWarning?: (message: string) => void): ExportedRun {
  const { model, importedFrom } = parseTrainingConfig(openRunFolder(run).config, path.join(run, "config.json"));
  return {
    model,
    load() {
      const place = latestCheckpoint(run, onWarning);
      if (!place) throw new Error(`${run} has no checkpoint to export; train it first: birkhoff train --resume ${run}`);
      const saved = new Map(loadModel(place.folder).model.map(({ name, data }) => [name, data]));
      return {
        step: place.step,
        tensor(name) {
          const data = saved.get(name);
          if (data) return data;
          throw new Error(
            `${place.folder} has no tensor "${name}"; it belongs to another model than config.json describes`,
          );
        },
      };
    },
    tokenizer() {
      const file = path.join(run, "tokenizer.json");
      if (fs.existsSync(file) || importedFrom === undefined) return readTokenizer(file);
      onWarning?.(`${run} has no tokenizer; the export has none either`);
      return undefined;
    },
  };
}

/** Whether files of these names may be written to a folder. */
export function expectFree(run: string, out: string, names: readonly string[], overwrite: boolean): void {
  if (isSamePlace(run, out) || ["checkpoints", "metrics.jsonl"].some((name) => fs.existsSync(path.join(out, name)))) {
    throw new Error(
      `${out} is a run folder, and the files of other programs may have the names of its own: give the export another folder`,
    );
  }
  const present = names.filter((name) => fs.existsSync(path.join(out, name)));
  if (present.length === 0 || overwrite) return;
  throw new Error(
    `${out} holds ${present.join(", ")} already: replace them (--overwrite), or give another folder (--out)`,
  );
}

/** Writes tokenizer.json and tokenizer_config.json. */
export function writeTokenizerFiles(out: string, tokenizer: Tokenizer, { context }: ModelConfig): void {
  writeFileAtomically(path.join(out, tokenizerNames[0]), formatTokenizer(tokenizer));
  const { added } = tokenizer.definition;
  const contentOf = (wanted: number | undefined) => added.find(({ id }) => id === wanted)?.content;
  const config = {
    tokenizer_class: "PreTrainedTokenizerFast",
    model_max_length: context,
    clean_up_tokenization_spaces: false,
    ...given({ bos_token: contentOf(tokenizer.begin), eos_token: contentOf(tokenizer.endOfText) }),
  };
  writeFileAtomically(path.join(out, tokenizerNames[1]), `${JSON.stringify(config, undefined, 2)}\n`);
}

// Question: which files does an evaluation leave?
//
//   results.json            what was found, in the harness's form
//   samples_TASK.jsonl      every example with its prompt, output and verdict, in the harness's form
//   answers.jsonl           what the model answered, for the next evaluation (answer-log.ts)

import fs from "node:fs";
import path from "node:path";
import { writeAll, writeAtomically, writeFileAtomically } from "../files/atomic.ts";
import { formatJson } from "../files/json.ts";
import { sha256 } from "../files/hash.ts";
import type { EvaluationReport } from "./evaluate.ts";

/** What the file says of the evaluation besides its results. */
export interface ResultsHead {
  readonly model_name: string;
  readonly config: Readonly<Record<string, unknown>>;
  /** Seconds since 1970 at the beginning. */
  readonly date: number;
  readonly total_evaluation_time_seconds: number;
}

/** Write results and samples into a folder, and make it; files of other tasks stay. */
export function writeResults(folder: string, evaluation: EvaluationReport, head: ResultsHead): void {
  const { verdicts, samples, ...results } = evaluation;
  const hashes: Record<string, string> = {};
  fs.mkdirSync(folder, { recursive: true });
  for (const task of Object.keys(verdicts)) {
    const lines = samples(task);
    hashes[task] = sha256(lines.map((line) => line.doc_hash + line.prompt_hash + line.target_hash).join(""));
    writeAtomically(path.join(folder, `samples_${task}.jsonl`), (descriptor) => {
      for (const line of lines) writeAll(descriptor, Buffer.from(`${formatJson(line)}\n`));
    });
  }
  const whole = { ...results, ...head, model_source: "birkhoff", task_hashes: hashes };
  writeFileAtomically(path.join(folder, "results.json"), `${formatJson(whole, 2)}\n`);
}

// Question: how does samples.txt keep the texts that a model wrote, so that a torn one is known by its missing end?

import fs from "node:fs";
import path from "node:path";
import { names } from "./names.ts";
import { MOST_OF_RECORDS, readText } from "../files/read.ts";

/** A text that the model wrote. */
export interface Sample {
  readonly step: number;
  readonly prompt: string;
  readonly text: string;
}

/** The samples of a run as they were written; one that a kill has torn is left out. */
export function readSamples(folder: string): string[] {
  const file = path.join(folder, names.samples);
  if (!fs.existsSync(file)) return [];
  const whole = readText(file, MOST_OF_RECORDS).split(sampleEnd).slice(0, -1);
  return whole.map((sample) => sample + sampleEnd);
}

/** The text is indented, so none of its lines is empty: only the end of a sample is an empty line. */
export const formatSample = ({ step, prompt, text }: Sample): string =>
  `step ${step}, prompt ${JSON.stringify(prompt)}\n${`\n${prompt}${text}`.replaceAll("\n", "\n  ").slice(1)}${sampleEnd}`;

const sampleEnd = "\n\n";

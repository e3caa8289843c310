// Question: what does `birkhoff convert RUN NEW --from residual --to mhc` do?
//
// It turns a trained residual run into a run with streams, reports how far their logits differ, and says how to
// continue the new run.

import { given } from "../basics/given.ts";
import { upcycle, type UpcycledConnection, upcycledConnections } from "../interop/upcycle.ts";
import { expectChosen, openChosen } from "./runtime.ts";
import type { MachineOptions } from "./options.ts";
import { warn } from "./warn.ts";

export interface UpcycleCommandOptions extends MachineOptions {
  readonly from: "residual";
  readonly to: UpcycledConnection["kind"];
  readonly streams: number;
  /** The step at which the new run ends. */
  readonly steps?: number;
  readonly overwrite?: boolean;
  readonly json?: boolean;
}

/** Upcycle the run in one folder into another folder, and report the result on standard output. */
export async function upcycleRun(run: string, out: string, options: UpcycleCommandOptions): Promise<void> {
  const { to, streams, steps, overwrite, json } = options;
  await expectChosen(options);
  const runtime = await openChosen(options);
  try {
    const { config, step, addedParameters, difference, largestLogit } = await upcycle(
      runtime,
      run,
      out,
      upcycledConnections[to](streams),
      {
        ...given({ steps }),
        existing: overwrite ? "overwrite" : "refuse",
        onWarning: warn,
      },
    );
    process.stdout.write(
      json
        ? `${JSON.stringify({ folder: out, step, steps: config.steps, addedParameters, difference, largestLogit })}\n`
        : `${out}: ${to}, ${streams} streams, from step ${step} of ${run}; ${addedParameters.toLocaleString("en")} more parameters.\n` +
            `Largest difference of a logit: ${difference.toExponential(1)}; largest logit: ${largestLogit.toFixed(2)}.\n` +
            `Continue: birkhoff train --resume ${out}\n`,
    );
  } finally {
    runtime.close();
  }
}

// Question: what does `birkhoff convert RUN NEW --from residual --to mhc` do?
//
// It makes a run with streams from a trained residual one, says how far their logits are apart, and how the
// new run goes on.

import { given } from "../basics/given.ts";
import { upcycle, type UpcycledConnection, upcycledConnections } from "../interop/upcycle.ts";
import { openChosen } from "./runtime.ts";
import type { MachineOptions } from "./options.ts";

export interface UpcycleCommandOptions extends MachineOptions {
  readonly from: "residual";
  readonly to: UpcycledConnection["kind"];
  readonly streams: number;
  /** Steps at which the new run ends. */
  readonly steps?: number;
  readonly overwrite?: boolean;
  readonly json?: boolean;
}

/** Upcycle the run in one folder into another and tell what became of it on standard output. */
export async function upcycleRun(run: string, out: string, options: UpcycleCommandOptions): Promise<void> {
  const { to, streams, steps, overwrite, json } = options;
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
        onWarning: (message) => process.stderr.write(`warning: ${message}\n`),
      },
    );
    process.stdout.write(
      json
        ? `${JSON.stringify({ folder: out, step, steps: config.steps, addedParameters, difference, largestLogit })}\n`
        : `${out}: ${to}, ${streams} streams, from step ${step} of ${run}; ${addedParameters.toLocaleString("en")} parameters more.\n` +
            `Largest difference of a logit ${difference.toExponential(1)}, the largest logit ${largestLogit.toFixed(2)}.\n` +
            `Go on: birkhoff train --resume ${out}\n`,
    );
  } finally {
    runtime.close();
  }
}

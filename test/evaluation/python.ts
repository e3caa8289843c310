// Question: which Python answers, if it has what is asked for?

import { spawnSync } from "node:child_process";

/**
 * @param test what is skipped without it
 * @param probe Python that fails where the library is missing
 * @param what the library's name in the message
 */
export function findPython(test: string, probe: string, what: string): string | undefined {
  const python = process.env["BIRKHOFF_PYTHON"] ?? "python3";
  if (spawnSync(python, ["-c", probe]).status === 0) return python;
  process.stderr.write(`${test} is skipped: ${python} has no ${what}; set BIRKHOFF_PYTHON to a Python that has it\n`);
  return undefined;
}

// Question: what do several processes say of a command line that is wrong?
//
// A launcher of MPI starts the same command many times, and each process finds the same mistake. Rank 0 says it. The
// others hold their tongue until the command begins, and give rank 0 the time to speak: a launcher ends all processes
// when the first has failed.

import { launchedAs } from "../runtime/collective/launched.ts";

/** Time for rank 0 to say what is wrong. */
const SPEAKING_MS = 2000;

/** Let this process write errors again; undefined where it does. */
let release: (() => void) | undefined;

/** On every rank but 0: write no errors until `followerSpeaks`. */
export function hushFollower(): void {
  const { rank = 0 } = launchedAs() ?? {};
  if (rank === 0) return;
  const own = process.stderr.write;
  const wait = (): void => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, SPEAKING_MS);
  process.stderr.write = () => true;
  process.on("exit", wait);
  release = () => {
    process.stderr.write = own;
    process.off("exit", wait);
  };
}

/** The options are right: from here on what goes wrong may be this process's own. */
export function followerSpeaks(): void {
  release?.();
  release = undefined;
}

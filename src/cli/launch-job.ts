// Question: how does one job run, from its launcher's start until nothing of it is left?
//
// The launcher starts the ranks, and the watch hears of them. A person's Ctrl-C goes to rank 0. When a rank is lost, the
// launcher has some time to end the others itself; then they are ended here.

import { spawn } from "node:child_process";
import os from "node:os";
import { setTimeout } from "node:timers/promises";
import { ABORT_CODE } from "../runtime/collective/launched.ts";
import { type Process, WATCH_VARIABLE } from "../runtime/collective/watch/protocol.ts";
import { startWatch, type Watch } from "../runtime/collective/watch/server.ts";
import { REPEATED_MS } from "./interrupt.ts";
import { say } from "./warn.ts";

/** The watch names a lost rank within this time. */
const NAMING_MS = 700;

/** After a rank is lost the launcher has so long to end the others itself. */
const ENDING_MS = 2500;

/** How a job ended. */
export interface JobEnd {
  readonly code: number;
  /** The rank that was lost, and how. */
  readonly trouble?: string;
  /** Whether a person asked it to end. */
  readonly asked: boolean;
  /** Its processes, as far as they were heard. */
  readonly processes: readonly Process[];
}

/** Run a launcher until it ends, or until a rank is lost. */
export async function runJob([program, ...args]: readonly string[]): Promise<JobEnd> {
  let trouble: string | undefined;
  let child: ReturnType<typeof spawn> | undefined;
  /** When a person asked to save and stop; and the signal by which all processes end without that. */
  let asked: number | undefined;
  let ending: NodeJS.Signals | undefined;
  const handlers: [NodeJS.Signals, () => void][] = [];
  const on = (signal: NodeJS.Signals, handler: () => void): void => {
    handlers.push([signal, handler]);
    process.on(signal, handler);
  };
  const watch = await startWatch({
    onTrouble(message) {
      if (ending) return;
      trouble = message;
      say(`birkhoff: ${message}`);
      void setTimeout(ENDING_MS, undefined, { ref: false }).then(() => child && endAll(child, watch));
    },
  });
  try {
    // In a group of its own: a Ctrl-C goes to rank 0 alone, which saves.
    child = spawn(program!, args, {
      detached: true,
      stdio: [process.stdin.isTTY ? "ignore" : "inherit", "inherit", "inherit"],
      env: { ...plainUnlessShown(process.stdout), ...process.env, [WATCH_VARIABLE]: JSON.stringify(watch.address) },
    });
    const own = child;
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
      on(signal, () => {
        const now = performance.now();
        if (asked !== undefined && now - asked < REPEATED_MS) return;
        if (asked !== undefined || !watch.interrupt()) ending = signal;
        if (asked !== undefined) endAll(own, watch);
        // Before rank 0 is under the watch, and after its training. The launcher ends its processes; were it killed, some
        // would go on without it.
        else if (ending) own.kill("SIGTERM");
        asked ??= now;
      });
    on("SIGTSTP", () =>
      say("birkhoff: Ctrl-Z does nothing here, for the job ends when its watch stops; Ctrl-C saves and stops."),
    );
    const code = await new Promise<number>((resolve, reject) => {
      own
        .on("error", reject)
        .on("close", (code, signal) => resolve(code ?? 128 + (os.constants.signals[signal!] ?? 0)));
    });
    const end = { asked: asked !== undefined, processes: watch.processes() };
    if (ending) return { ...end, code: code === 0 ? 0 : 128 + os.constants.signals[ending] };
    // The watch may still be looking which ranks ended together.
    if (trouble === undefined && code !== 0) await setTimeout(NAMING_MS);
    if (trouble === undefined) return { ...end, code };
    endAll(own, watch);
    return { ...end, code: ABORT_CODE, trouble };
  } finally {
    for (const [signal, handler] of handlers) process.off(signal, handler);
    watch.close();
  }
}

/** Open MPI gives ranks a terminal even where this process writes into a file, which is no place for colours. */
function plainUnlessShown({ isTTY }: { readonly isTTY?: boolean }): { NO_COLOR?: string } {
  return isTTY || process.env.FORCE_COLOR !== undefined ? {} : { NO_COLOR: "1" };
}

/** End the launcher and the processes of this machine that it may have left. */
function endAll({ pid }: ReturnType<typeof spawn>, watch: Watch): void {
  const here = watch.processes().filter(({ machine }) => machine === os.hostname());
  for (const each of [...(pid === undefined ? [] : [-pid]), ...here.map((process) => process.pid)]) {
    try {
      process.kill(each, "SIGKILL");
    } catch {
      // It has ended.
    }
  }
}

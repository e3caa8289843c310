// Question: how does a command end before its time, and which exit code says so?
//
// A command that trains ends after the microbatch in progress, and saves, when it is asked to: by Ctrl-C, by SIGTERM,
// by a terminal that closes (SIGHUP), or because nobody can read what it writes any more: the reader of a pipe has gone
// (`birkhoff train | head`), the terminal has vanished, the disk behind a log is full. Asked a second time by Ctrl-C or
// SIGTERM, it leaves at once. All other commands end at once, as the system does it.
//
//   130  Ctrl-C (SIGINT)       143  SIGTERM                141  the reader of a pipe has gone (SIGPIPE)
//   129  a terminal closed (SIGHUP) or vanished (EIO)      1    nothing can be written, as on a full disk

import { hasCode, reason } from "../files/errors.ts";

const signalCodes = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const satisfies Partial<
  Record<NodeJS.Signals, number>
>;
type EndingSignal = keyof typeof signalCodes;
const endingSignals = Object.keys(signalCodes) as EndingSignal[];

/** What output that cannot be written means: other programs would get SIGPIPE, or SIGHUP with their terminal. */
function codeOf(error: Error, isTerminal: boolean): number {
  if (hasCode(error, "EPIPE")) return 141;
  return isTerminal && hasCode(error, "EIO") ? signalCodes.SIGHUP : 1;
}

/** Signals closer together than this count as one press: npm forwards the signal that the process has also received. */
export const REPEATED_MS = 300;

/** Who hears that the output has failed: a command that listens, or one that has what it wanted and only prints. */
let listening: ((code: number) => void) | undefined;

/** Requests to end, as a signal. */
export interface Interrupt {
  /** Aborted by the first request; the process's exit code is set from then on. */
  readonly signal: AbortSignal;
  /** Stop listening. From now on the system's signals end the process at once, and failing output does not. */
  close(): void;
}

/** Listen to everything that asks the command to end. A second Ctrl-C or SIGTERM ends the process at once. */
export function listenForInterrupt(): Interrupt {
  const controller = new AbortController();
  let patient = true;
  const end = (code: number): void => {
    process.exitCode = code;
    controller.abort();
  };
  const handlers = endingSignals.map((name) => {
    const handler = (): void => {
      const insists = controller.signal.aborted && name !== "SIGHUP";
      if (insists && !patient) leave(signalCodes[name]);
      if (controller.signal.aborted) return;
      end(signalCodes[name]);
      // A signal that came during a long step is handled late, but before an immediate: it still belongs to the first.
      setTimeout(() => setImmediate(() => (patient = false)), REPEATED_MS).unref();
    };
    process.on(name, handler);
    return [name, handler] as const;
  });
  listening = (code) => void (controller.signal.aborted || end(code));
  return {
    signal: controller.signal,
    close() {
      for (const [name, handler] of handlers) process.off(name, handler);
      listening = (code) => void (process.exitCode ||= code);
    },
  };
}

/**
 * What a signal does that no command listens for: the process ends after it has done its last; where somebody is about to
 * listen, they hear of it then. Asked a second time it ends at once.
 */
export function endUnheard({
  expected,
  last,
}: {
  readonly expected: () => boolean;
  readonly last: () => Promise<void>;
}): void {
  let asked: number | undefined;
  for (const name of endingSignals)
    process.on(name, () => {
      const isHeard = (): boolean => process.listenerCount(name) > 1;
      if (isHeard()) return;
      const now = performance.now();
      if (asked !== undefined && now - asked > REPEATED_MS) process.exit(signalCodes[name]);
      if (asked !== undefined) return;
      asked = now;
      if (!expected()) {
        void last().finally(() => process.exit(signalCodes[name]));
        return;
      }
      const timer = setInterval(() => {
        if (!isHeard()) return;
        clearInterval(timer);
        process.kill(process.pid, name);
      }, REPEATED_MS).unref();
    });
}

function leave(code: number): never {
  process.stderr.write("\nLeft at once; what came after the last checkpoint is lost.\n");
  process.exit(code);
}

/** Make output that fails end the process as a signal does: silently where the reader has gone, else with a reason. */
export function watchOutput(): void {
  const streams = { "standard output": process.stdout, "standard error": process.stderr };
  let told = false;
  for (const [name, stream] of Object.entries(streams)) {
    stream.on("error", (error: Error) => {
      const code = codeOf(error, stream.isTTY);
      if (code === 1 && !told) {
        told = true;
        const other = stream === process.stdout ? process.stderr : process.stdout;
        other.write(`birkhoff: cannot write to ${name}: ${reason(error)}\n`);
      }
      if (listening) listening(code);
      else process.exit(code);
    });
  }
}

/**
 * Wait until a page that is served is to end. Ctrl-C and SIGTERM are how it ends, so the exit code stays 0; when its
 * terminal closes it is 129.
 */
export async function untilEnded(): Promise<void> {
  // A server in a thread of its own does not keep the process alive, so this timer does.
  const alive = setInterval(() => undefined, 1 << 30);
  await new Promise<void>((resolve) => {
    for (const name of endingSignals)
      process.once(name, () => {
        if (name === "SIGHUP") process.exitCode = signalCodes.SIGHUP;
        resolve();
      });
    listening = (code) => {
      process.exitCode = code;
      resolve();
    };
  });
  clearInterval(alive);
}

// Question: what does Ctrl-C do while a command trains?
//
// The first press ends training after the current step, or between its microbatches, so that every run is saved. The
// second ends at once.

/** Signals closer together than this count as one press: npm forwards the signal that the process has also received. */
const REPEATED_MS = 300;

/** A signal that Ctrl-C or SIGTERM aborts. */
export interface Interrupt {
  readonly signal: AbortSignal;
  /** Stop listening to the process's signals. */
  close(): void;
}

/** Listen to the process's signals; a second press of Ctrl-C ends the process with exit code 130. */
export function listenForInterrupt(): Interrupt {
  const controller = new AbortController();
  let first = 0;
  const interrupt = (): void => {
    if (controller.signal.aborted && performance.now() - first > REPEATED_MS) process.exit(130);
    if (!controller.signal.aborted) first = performance.now();
    controller.abort();
  };
  process.on("SIGINT", interrupt);
  process.on("SIGTERM", interrupt);
  return {
    signal: controller.signal,
    close() {
      process.off("SIGINT", interrupt);
      process.off("SIGTERM", interrupt);
    },
  };
}

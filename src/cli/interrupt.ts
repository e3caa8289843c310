// Question: what does Ctrl-C do while a command trains?
//
// The first one asks for an end after the step in progress, so that every run is saved. A second one does not wait.

/** Signals closer together than this are one press of Ctrl-C: npm passes on what the process got itself. */
const REPEATED_MS = 300;

/** A signal that Ctrl-C or SIGTERM aborts. */
export interface Interrupt {
  readonly signal: AbortSignal;
  /** Leave the process's signals alone again. */
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

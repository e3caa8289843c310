// Question: how does a long computation hear that it is to end?

/** Signals are let in so often while a step or an evaluation computes, which may be synchronous. */
const LISTEN_MS = 100;

/** Whether a signal is aborted, asked between batches; from time to time it lets the process hear of signals first. */
export function listenBetween(signal: AbortSignal | undefined): () => Promise<boolean> | boolean {
  if (!signal) return () => false;
  let listened = performance.now();
  return async () => {
    if (performance.now() - listened > LISTEN_MS) {
      await new Promise((resolve) => void setTimeout(resolve));
      listened = performance.now();
    }
    return signal.aborted;
  };
}

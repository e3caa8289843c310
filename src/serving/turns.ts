// Question: how do many requests that come at once not hold up the texts that are being written?
//
// To check a request, and to begin its texts, takes as long as a small run of the model. Node hands on all that have come
// before it goes on, and a text that is being written would wait for all of them. So each takes its turn.

/** Returns what waits for a turn: until those before have had theirs, and then for the next round of the event loop. */
export function createTurns(): () => Promise<void> {
  let last = Promise.resolve();
  return () => (last = last.then(() => new Promise((resolve) => void setImmediate(resolve))));
}

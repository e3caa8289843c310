// Question: how do values reach a reader that comes for them later?
//
// One writer, one reader. What is sent waits until it is read: the writer bounds how much that can be.

/** Values on their way to one reader. */
export interface Channel<T> extends AsyncIterable<T> {
  send(value: T): void;
  /** No more values come; with an error, the reader gets it after the values. */
  end(error?: unknown): void;
}

export function createChannel<T>(): Channel<T> {
  const waiting: T[] = [];
  let ended: { readonly error?: unknown } | undefined;
  let wake: (() => void) | undefined;
  const stir = (): void => {
    wake?.();
    wake = undefined;
  };
  return {
    send(value) {
      if (ended) return;
      waiting.push(value);
      stir();
    },
    end(error) {
      ended ??= error === undefined ? {} : { error };
      stir();
    },
    async *[Symbol.asyncIterator]() {
      for (;;) {
        while (waiting.length > 0) yield waiting.shift()!;
        if (ended) break;
        await new Promise<void>((resolve) => (wake = resolve));
      }
      if ("error" in ended) throw ended.error;
    },
  };
}

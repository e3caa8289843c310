// Question: what is at the end of a file that may be long?
//
// A request for many runs, or one that is repeated often, must not read whole files.

import type { OpenFile } from "./places.ts";

/** The last bytes of a file as text; nothing of a file that cannot be read. Closes it. */
export function endText(file: OpenFile | undefined, bytes: number): string {
  return readEnd(file, bytes).text;
}

/** The whole lines among the last bytes of a file. Closes it. */
export function endLines(file: OpenFile | undefined, bytes: number): string[] {
  const { text, cut } = readEnd(file, bytes);
  // The first line is cut unless the file begins here. The last one is still being written, or was torn.
  return text.split("\n").slice(cut ? 1 : 0, -1);
}

function readEnd(file: OpenFile | undefined, bytes: number): { readonly text: string; readonly cut: boolean } {
  if (!file) return { text: "", cut: false };
  try {
    const from = Math.max(0, file.size - bytes);
    return { text: file.read(from, bytes).toString("utf8"), cut: from > 0 };
  } finally {
    file.close();
  }
}

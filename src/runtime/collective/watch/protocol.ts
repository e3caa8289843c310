// Question: what do a rank and the watch say to each other?
//
// Lines of JSON over TCP. A rank says who it is, then every half second that it lives and whether its work stands still,
// and at last that it leaves. The watch answers every line, so that a rank hears that the watch lives, and may tell it to
// end or that a person has pressed Ctrl-C.

/** Where the watch listens. */
export interface WatchAddress {
  /** Of its machine; the first that answers is taken. */
  readonly hosts: readonly string[];
  readonly machine: string;
  readonly port: number;
  /** Only who knows it is heard. */
  readonly token: string;
}

/** A process of the job. */
export interface Process {
  readonly rank: number;
  readonly pid: number;
  readonly machine: string;
}

export type FromRank =
  | ({ readonly kind: "hello"; readonly token: string } & Process)
  /** `still`: seconds for which the work within a step has not moved; absent while all is well. */
  | { readonly kind: "beat"; readonly still?: number }
  | { readonly kind: "leave" };

export type FromWatch =
  | { readonly kind: "heard" }
  | { readonly kind: "end" }
  /** A person wants rank 0 to save and stop. */
  | { readonly kind: "interrupt" };

/** The environment variable by which a launcher tells the ranks where it watches. */
export const WATCH_VARIABLE = "BIRKHOFF_WATCH";

/** Between two signs of life. */
export const BEAT_MS = 500;

/** A process that was not heard for so long is stopped, or cannot be reached. */
export const SILENCE_MS = 5000;

/** Work of a step that stands still for so long hangs; longer where the rank's own work had longer pauses. */
export const STILL_MS = 7000;

/** The first step may take so long between two signs of its work. */
export const FIRST_STILL_MS = 300_000;

/** Places in the memory that a rank shares with its thread that speaks to the watch. */
export const pulsePlaces = { moves: 0, stepping: 1, steps: 2 } as const;

/** Split what comes from a connection into lines. */
export function linesOf(onLine: (line: unknown) => void): (text: string) => void {
  let rest = "";
  return (text) => {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) onLine(JSON.parse(line));
  };
}

export const lineOf = (message: FromRank | FromWatch): string => `${JSON.stringify(message)}\n`;

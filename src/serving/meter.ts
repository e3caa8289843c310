// Question: how long do clients wait, and what has the engine done?
//
// Counts are of all time. Latencies are kept for the latest values of each kind, so that memory does not grow and the
// quantiles speak of now. A quantile is the smallest value that so large a share does not exceed.

/** Values of one kind, in seconds. */
export interface Latency {
  add(seconds: number): void;
  /** Of all time. */
  readonly count: number;
  readonly sum: number;
  readonly max: number;
  /** Of the latest values: the value that a share q of them does not exceed; NaN where there is none. */
  quantiles(shares: readonly number[]): number[];
}

/** What `quantiles` looks at. */
const KEPT = 8192;

export function createLatency(kept: number = KEPT): Latency {
  const values = new Float64Array(kept);
  let [count, sum, max] = [0, 0, 0];
  return {
    add(seconds) {
      values[count++ % kept] = seconds;
      sum += seconds;
      max = Math.max(max, seconds);
    },
    get count() {
      return count;
    },
    get sum() {
      return sum;
    },
    get max() {
      return max;
    },
    quantiles(shares) {
      const sorted = values.slice(0, Math.min(count, kept)).sort();
      return shares.map((share) => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN);
    },
  };
}

export interface Meter {
  /** From the arrival of a text to its first token. */
  readonly firstToken: Latency;
  /** From a token of a text to its next. */
  readonly nextToken: Latency;
  /** From the arrival of a text to its end. */
  readonly whole: Latency;
  /** Counts of all time. */
  readonly counts: {
    promptTokens: number;
    /** Tokens of prompts that were found in the cache. */
    sharedTokens: number;
    writtenTokens: number;
    ticks: number;
    /** Rows that were computed, without padding and with it. */
    rows: number;
    paddedRows: number;
    /** Texts by how they ended. */
    finished: number;
    cancelled: number;
    failed: number;
    refused: number;
  };
}

export function createMeter(): Meter {
  return {
    firstToken: createLatency(),
    nextToken: createLatency(),
    whole: createLatency(),
    counts: {
      promptTokens: 0,
      sharedTokens: 0,
      writtenTokens: 0,
      ticks: 0,
      rows: 0,
      paddedRows: 0,
      finished: 0,
      cancelled: 0,
      failed: 0,
      refused: 0,
    },
  };
}

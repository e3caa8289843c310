// Question: what does a Prometheus server see of the API?
//
// The text exposition format, version 0.0.4. Latencies are summaries: quantiles of the latest values, sum and count of all.

import type { Engine } from "./engine.ts";
import type { Latency } from "./meter.ts";

const QUANTILES = [0.5, 0.95, 0.99] as const;

interface Metric {
  readonly name: string;
  readonly help: string;
  readonly type: "gauge" | "counter" | "summary";
  lines(engine: Engine): readonly (readonly [suffix: string, value: number])[];
}

const single = (type: "gauge" | "counter", name: string, help: string, read: (engine: Engine) => number): Metric => ({
  name,
  help,
  type,
  lines: (engine) => [["", read(engine)]],
});

function latency(name: string, help: string, read: (engine: Engine) => Latency): Metric[] {
  return [
    {
      name,
      help,
      type: "summary",
      lines(engine) {
        const values = read(engine);
        const quantiles = values.quantiles(QUANTILES);
        return [
          ...QUANTILES.map((share, index) => [`{quantile="${share}"}`, quantiles[index]!] as const),
          ["_sum", values.sum] as const,
          ["_count", values.count] as const,
        ];
      },
    },
    single("gauge", `${name}_max`, `The longest since the start: ${help}`, (engine) => read(engine).max),
  ];
}

const metrics: readonly Metric[] = [
  ...latency("first_token_seconds", "From a text's arrival to its first token.", ({ meter }) => meter.firstToken),
  ...latency("next_token_seconds", "From a token of a text to its next.", ({ meter }) => meter.nextToken),
  ...latency("text_seconds", "From a text's arrival to its end.", ({ meter }) => meter.whole),
  single("gauge", "texts_active", "Texts being read or written.", ({ load }) => load.active),
  single("gauge", "texts_waiting", "Texts in the queue.", ({ load }) => load.waiting),
  single("gauge", "texts_active_limit", "Texts that can be written at a time.", ({ options }) => options.slots),
  single("gauge", "texts_waiting_limit", "Texts that can wait.", ({ options }) => options.queue),
  single("gauge", "draining", "1 while the server is being stopped.", ({ load }) => Number(load.draining)),
  single("gauge", "batch_invariant", "1 if a text's bits do not depend on the others.", (engine) =>
    Number(engine.invariant),
  ),
  single("counter", "prompt_tokens_total", "Tokens of prompts.", ({ meter }) => meter.counts.promptTokens),
  single(
    "counter",
    "shared_tokens_total",
    "Tokens of prompts that were in the cache already.",
    ({ meter }) => meter.counts.sharedTokens,
  ),
  single("counter", "written_tokens_total", "Tokens written.", ({ meter }) => meter.counts.writtenTokens),
  single("counter", "ticks_total", "Runs of the model.", ({ meter }) => meter.counts.ticks),
  single("counter", "rows_total", "Tokens that the model has read.", ({ meter }) => meter.counts.rows),
  single("counter", "padded_rows_total", "The same with padding.", ({ meter }) => meter.counts.paddedRows),
  single("counter", "texts_finished_total", "Texts that ended by themselves.", ({ meter }) => meter.counts.finished),
  single(
    "counter",
    "texts_cancelled_total",
    "Texts whose client went, or whose time was over.",
    ({ meter }) => meter.counts.cancelled,
  ),
  single("counter", "texts_failed_total", "Texts that ended with an error.", ({ meter }) => meter.counts.failed),
  single(
    "counter",
    "texts_refused_total",
    "Texts that the queue had no room for.",
    ({ meter }) => meter.counts.refused,
  ),
  single("gauge", "resident_memory_bytes", "Memory of the server's process.", () => process.memoryUsage.rss()),
];

/** The answer to `/metrics`. */
export function servingMetrics(engine: Engine): string {
  return metrics
    .map(({ name, help, type, lines }) => {
      const full = `birkhoff_serve_${name}`;
      const values = lines(engine).map(
        ([suffix, value]) => `${full}${suffix} ${Number.isNaN(value) ? "NaN" : value}\n`,
      );
      return `# HELP ${full} ${help}\n# TYPE ${full} ${type}\n${values.join("")}`;
    })
    .join("");
}

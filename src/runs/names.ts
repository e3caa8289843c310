// Question: what are the files of a run folder called?

export const names = {
  config: "config.json",
  tokenizer: "tokenizer.json",
  metrics: "metrics.jsonl",
  gains: "gains.jsonl",
  mixing: "mixing.jsonl",
  events: "events.jsonl",
  samples: "samples.txt",
  interventions: "interventions.json",
  reasoning: "reasoning.json",
  robustness: "robustness.json",
  study: "study.json",
  report: "report.html",
  checkpoints: "checkpoints",
} as const;

/** Files that others write into a run folder: the tokenizer's roles, a sweep's outcome, the page's tags. */
export const besides: readonly string[] = ["tokenizer_config.json", "result.json", "tags.json"];

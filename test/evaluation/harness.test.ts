// lm-evaluation-harness itself, run against `birkhoff serve --api`, gives what `birkhoff eval` gives.

import { spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "vitest";
import { makeWorkplace, run, smallText, start } from "../e2e/cli.ts";
import { findPython } from "./python.ts";

const data = fileURLToPath(new URL("../fixtures/evaluation/benchmarks", import.meta.url));
const script = fileURLToPath(new URL("harness.py", import.meta.url));
const python = findPython(
  "the comparison with lm-evaluation-harness",
  "import lm_eval.models.openai_completions",
  "lm-eval",
);
const place = makeWorkplace();
afterAll(() => place.remove());

/** Enough for a window that holds the prompts. */
fs.writeFileSync(place.at("long.txt"), smallText(30_000));

/** Tasks with the shots that both give them; their prompts fit into the window. */
const tasks = { piqa: 0, hellaswag: 0, mmlu_anatomy: 1, triviaqa: 2 } as const;
const context = 1536;

interface HarnessSample {
  readonly filter: string;
  readonly resps: readonly (readonly [unknown])[];
  readonly filtered: readonly unknown[];
  readonly [metric: string]: unknown;
}
interface Harness {
  readonly results: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly samples: Readonly<Record<string, readonly HarnessSample[]>>;
}

/** The harness's own results, by local-completions. */
async function harness(url: string, name: string, tokenizer: string): Promise<Harness> {
  const wanted = Object.entries(tasks).map(([name, shots]) => `${name}=${shots}`);
  const model = `model=${name},base_url=${url}/completions,tokenizer=${tokenizer},max_length=${context}`;
  const child = spawn(python!, [script, data, wanted.join(","), "0", "local-completions", model]);
  let [stdout, stderr] = ["", ""];
  child.stdout.on("data", (text: Buffer) => (stdout += text.toString()));
  child.stderr.on("data", (text: Buffer) => (stderr += text.toString()));
  await once(child, "close");
  expect(child.exitCode, stderr).toBe(0);
  return JSON.parse(stdout) as Harness;
}

test.skipIf(python === undefined).each(["residual", "mhc"] as const)(
  "%s: the same log-likelihoods, texts, metrics and errors",
  { timeout: 600_000 },
  async (kind) => {
    const sizes = ["width=16", "layers=1", "heads=2", "kvHeads=2", "hidden=24"].flatMap((size) => [
      "--set",
      `model.${size}`,
    ]);
    const training = [
      "--data",
      "long.txt",
      "--vocabulary",
      "300",
      "--steps",
      "2",
      "--batch",
      "1",
      "--context",
      `${context}`,
      "--threads",
      "1",
      "--cache",
      "cache",
    ];
    const trained = await run(place.folder, [
      "train",
      "--connection",
      kind,
      "--out",
      `runs/${kind}`,
      ...sizes,
      ...training,
    ]);
    expect(trained.code, trained.stderr).toBe(0);
    const exported = await run(place.folder, ["export", `runs/${kind}`, "--format", "hf", "--out", `hf-${kind}`]);
    expect(exported.code, exported.stderr).toBe(0);

    const server = start(place.folder, ["serve", `runs/${kind}`, "--api", "--port", "0", "--json", "--threads", "1"]);
    let theirs: Harness;
    try {
      const address = await new Promise<{ url: string }>((resolve) => {
        server.child.stdout!.once("data", (text: string) => resolve(JSON.parse(text) as { url: string }));
      });
      theirs = await harness(`${address.url}v1`, kind, place.at(`hf-${kind}`));
    } finally {
      server.child.kill("SIGTERM");
      await server.finished;
    }

    for (const [name, shots] of Object.entries(tasks)) {
      const asked = ["eval", `runs/${kind}`, "--tasks", name, "--data", data, "--shots", `${shots}`, "--threads", "1"];
      const { code, stderr } = await run(place.folder, asked);
      expect(code, stderr).toBe(0);
      expect(stderr).not.toContain("did not fit");
      const folder = place.at("runs", kind, "eval");
      const ours = fs
        .readFileSync(`${folder}/samples_${name}.jsonl`, "utf8")
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line) as HarnessSample & { filtered_resps: string[][]; metrics: string[] });
      expect(ours.length).toBe(theirs.samples[name]!.length);
      for (const [index, sample] of ours.entries()) {
        const other = theirs.samples[name]![index]!;
        for (const metric of sample.metrics) expect(sample[metric], `${name} ${index} ${metric}`).toBe(other[metric]);
        if (name === "triviaqa") expect(sample.resps).toEqual(other.resps);
        else {
          const likelihoods = sample.filtered_resps.map(([text]) => Number(text));
          const others = (other.filtered as [number, boolean][]).map(([value]) => value);
          expect(likelihoods).toEqual(others);
        }
      }
      const { results } = JSON.parse(fs.readFileSync(`${folder}/results.json`, "utf8")) as Harness;
      for (const [key, value] of Object.entries(theirs.results[name]!))
        if (key.includes(",")) expect(results[name]![key] as number, key).toBeCloseTo(value as number, 12);
    }
  },
);

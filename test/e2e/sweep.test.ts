// `birkhoff sweep` as a person uses it: killed and continued, stopped by Ctrl-C, extended, refused; and a run that
// diverges is a result.

import fs from "node:fs";
import path from "node:path";
import { afterAll, expect, test, vi } from "vitest";
import type { SweepSummary } from "../../src/runs/sweep/folder.ts";
import { losses, makeWorkplace, run, start, eventsOf, resultOf } from "./cli.ts";

// Patience for a machine that others use too.
vi.setConfig({ testTimeout: 240_000 });
const place = makeWorkplace();
afterAll(() => place.remove());

const base = {
  data: "text.txt",
  vocabulary: 270,
  context: 12,
  batch: 4,
  steps: 150,
  checkpointEvery: 15,
  evaluateEvery: 150,
  "model.width": 16,
  "model.layers": 2,
  "model.heads": 2,
  "model.kvHeads": 1,
  "model.hidden": 24,
};
const sweep = { name: "tiny", base, axes: { connection: ["residual", "hc:streams=2"], learningRate: [1e-3, 1e-2] } };

function write(name: string, content: object): string {
  fs.writeFileSync(place.at(name), JSON.stringify(content));
  return name;
}

const args = (file: string, out: string): string[] => [
  "sweep",
  file,
  "--out",
  out,
  "--cache",
  "cache",
  "--workers",
  "2",
];
/** Looked at while a sweep writes: a temporary file may be gone before it could be asked what it is. */
const runsOf = (out: string): string[] =>
  fs.existsSync(place.at(out))
    ? fs.readdirSync(place.at(out), { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? entry.name : []))
    : [];
const saved = (out: string): string[] =>
  runsOf(out).filter((name) => fs.existsSync(place.at(out, name, "checkpoints")));

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => void setTimeout(resolve, 5));
}

test("killed in the middle and continued it ends as an undisturbed one", async () => {
  write("tiny.json", sweep);
  const whole = await run(place.folder, [...args("tiny.json", "whole"), "--json"]);
  expect(whole.code, whole.stderr).toBe(0);
  const lines = eventsOf(whole.stdout);
  expect(lines[0]).toMatchObject({ event: "start", points: 4, done: 0 });
  expect(lines.filter(({ event }) => event === "end").map(({ outcome }) => outcome)).toEqual(
    Array.from({ length: 4 }, () => "finished"),
  );
  expect(lines.filter(({ event }) => event === "run")).toHaveLength(4);
  expect(resultOf(whole.stdout)).toMatchObject({
    name: "tiny",
    points: 4,
    ended: 4,
    groups: [{ runs: 2 }, { runs: 2 }],
  });

  const killed = start(place.folder, args("tiny.json", "killed"));
  await until(() => saved("killed").length > 0);
  // The workers by the locks of their runs; then nobody is left to clear up.
  const pids = runsOf("killed").flatMap((name) => {
    const lock = place.at("killed", name, "lock");
    return fs.existsSync(lock) ? [(JSON.parse(fs.readFileSync(lock, "utf8")) as { pid: number }).pid] : [];
  });
  killed.child.kill("SIGKILL");
  for (const pid of pids) process.kill(pid, "SIGKILL");
  await killed.finished;
  expect(runsOf("killed").filter((name) => fs.existsSync(place.at("killed", name, "result.json"))).length).toBeLessThan(
    4,
  );

  const again = await run(place.folder, args("tiny.json", "killed"));
  expect(again.code, again.stderr).toBe(0);
  expect(again.stdout).toContain("4 of 4 runs ended");
  expect(runsOf("whole").sort()).toEqual(runsOf("killed").sort());
  for (const name of runsOf("whole"))
    expect(losses(place.at("killed", name)), name).toEqual(losses(place.at("whole", name)));
  const results = (out: string): unknown[] =>
    fs
      .readFileSync(place.at(out, "results.jsonl"), "utf8")
      .trim()
      .split("\n")
      .map((line) => ({ ...(JSON.parse(line) as object), seconds: 0 }));
  expect(results("killed")).toEqual(results("whole"));
});

test("Ctrl-C saves; the folder's name is enough to go on; a finished sweep is only analysed", async () => {
  write("stop.json", { ...sweep, name: "stop", keepCheckpoints: false });
  const stopped = start(place.folder, args("stop.json", "stopped"));
  await until(() => saved("stopped").length > 0);
  stopped.child.kill("SIGINT");
  const { code, stdout, stderr } = await stopped.finished;
  expect(code, stderr).toBe(130);
  expect(stdout).toContain("Continue: birkhoff sweep stopped");
  expect(runsOf("stopped").filter((name) => fs.existsSync(place.at("stopped", name, "lock")))).toEqual([]);

  const again = await run(place.folder, ["sweep", "stopped", "--cache", "cache"]);
  expect(again.code, again.stderr).toBe(0);
  expect(saved("stopped")).toEqual([]);
  const times = runsOf("stopped").map((name) => fs.statSync(place.at("stopped", name, "metrics.jsonl")).mtimeMs);
  const report = await run(place.folder, ["sweep", "stopped", "--report"]);
  expect(report.code, report.stderr).toBe(0);
  expect(report.stdout).toMatch(/hc:streams=2 +2 /);
  expect(fs.readFileSync(place.at("stopped", "sweep.svg"), "utf8")).toMatch(/^<svg[^>]*><style>@media/);
  await run(place.folder, args("stop.json", "stopped"));
  expect(runsOf("stopped").map((name) => fs.statSync(place.at("stopped", name, "metrics.jsonl")).mtimeMs)).toEqual(
    times,
  );
});

test("a divergence is a result; more values extend the sweep; another base is refused", async () => {
  const small = { ...base, steps: 60, evaluateEvery: 60, checkpointEvery: 60 };
  write("wild.json", { name: "wild", base: small, axes: { connection: ["residual"], learningRate: [1e3] } });
  const wild = await run(place.folder, args("wild.json", "wild"));
  expect(wild.code, wild.stderr).toBe(0);
  const name = "connection=residual,learningRate=1000";
  const outcome = fs.readFileSync(place.at("wild", name, "result.json"), "utf8");
  expect(JSON.parse(outcome)).toMatchObject({
    outcome: "diverged",
    message: expect.stringContaining("Lower the learning rate"),
  });
  const { mtimeMs } = fs.statSync(place.at("wild", name, "result.json"));

  write("wild.json", { name: "wild", base: small, axes: { connection: ["residual"], learningRate: [1e3, 1e-3] } });
  const extended = await run(place.folder, [...args("wild.json", "wild"), "--json"]);
  expect(extended.code, extended.stderr).toBe(0);
  expect(extended.stderr).toContain("2 runs, 1 done");
  expect(fs.statSync(place.at("wild", name, "result.json")).mtimeMs).toBe(mtimeMs);
  const summary = resultOf(extended.stdout) as unknown as SweepSummary;
  expect(summary.groups[0]).toMatchObject({ runs: 2, diverged: 1, edge: 1e-3, optimum: { measured: 1e-3 } });

  write("wild.json", {
    name: "wild",
    base: { ...small, batch: 8 },
    axes: { connection: ["residual"], learningRate: [1e3] },
  });
  const refused = await run(place.folder, args("wild.json", "wild"));
  expect(refused.code).toBe(1);
  expect(refused.stderr).toContain("base.batch: 4 in the folder, 8 now");
  expect(refused.stderr).toContain("axes.learningRate: 0.001 in the folder, gone now");
});

test("a sweep can be a module; mistakes are told by their field or point", async () => {
  fs.writeFileSync(
    place.at("made.mjs"),
    `export const sweep = ${JSON.stringify({ name: "made", base, axes: { connection: ["hypr"] } })};`,
  );
  fs.mkdirSync(place.at("empty"));
  const mistakes: [string[], RegExp][] = [
    [["made.mjs"], /connection=hypr: "hypr" is not a connection/],
    [[write("a.json", { name: "a", axes: { sed: [1] } })], /a\.json is not valid:\n {2}axes\.sed: no field of a run/],
    [
      // The text is not there, and is not looked for.
      [write("b.json", { name: "b", base: { data: "none.txt" }, axes: { seed: [1], "model.heads": [4, 3] } })],
      /heads=3: .*3 heads do not divide the width 128/s,
    ],
    [[write("c.json", { name: "c", base: { ...base, batch: "x" }, axes: { seed: [1] } })], /seed=1: .*--batch/],
    [["missing.json"], /Cannot read the sweep missing\.json/],
    [["empty"], /holds no sweep/],
  ];
  for (const [given, message] of mistakes) {
    const { code, stderr } = await run(place.folder, ["sweep", ...given, "--cache", "cache"]);
    expect(code).toBe(1);
    expect(stderr).toMatch(message);
  }
  expect(fs.existsSync(path.join(place.folder, "runs"))).toBe(false);
});

test("runs that do not fit into memory are refused before one starts", async () => {
  const large = { ...base, batch: 4096, context: 1024, "model.width": 1024, "model.hidden": 8192 };
  const file = write("large.json", { name: "large", base: large, axes: { seed: [1, 2] } });
  const { code, stderr } = await run(place.folder, args(file, "large"));
  expect(code).toBe(1);
  expect(stderr).toMatch(
    /2 of 2 runs do not fit into memory, even alone:\n {2}every run \(2 runs\): would need [\d.]+ TiB of memory; the limit is/,
  );
  expect(runsOf("large")).toEqual([]);
});

// Run folders: begun, refused, resumed, replaced, locked; and what a kill leaves in the growing files.

import { spawn } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import * as fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { CheckpointContent } from "../../src/runs/checkpoint.ts";
import { writeFileAtomically } from "../../src/files/atomic.ts";
import { openLog, readRecords } from "../../src/files/records.ts";
import { expectSpace } from "../../src/files/space.ts";
import type { MetricRecord } from "../../src/training/records.ts";
import {
  createRunFolder,
  openRunFolder,
  readGains,
  readMetrics,
  type RunFolder,
  type RunFolderOptions,
} from "../../src/runs/run-folder.ts";

let parent: string;
let folder: string;
let opened: RunFolder[] = [];
beforeEach(() => {
  parent = fs.mkdtempSync(path.join(os.tmpdir(), "birkhoff-run-"));
  folder = path.join(parent, "mhc");
});
afterEach(() => {
  opened.forEach((run) => run.close());
  opened = [];
  vi.restoreAllMocks();
  fs.rmSync(parent, { recursive: true });
});

const config = { name: "mhc", seed: 1, optimizer: { learningRate: 1e-3, decayed: ["weight"] } };
const inside = (...names: string[]): string => path.join(folder, ...names);

function create(options: RunFolderOptions = {}, given: unknown = config): RunFolder {
  const run = createRunFolder(folder, given, options);
  opened.push(run);
  return run;
}

const metric = (step: number, more: Partial<MetricRecord> = {}): MetricRecord => ({
  step,
  loss: 5 / step,
  gradientNorm: 1,
  learningRate: 1e-3,
  tokensPerSecond: 1234.5,
  seconds: step / 3,
  ...more,
});
const checkpoint = (step: number): CheckpointContent => ({
  step,
  model: [{ name: "w", shape: [2], data: Float32Array.of(step, 1) }],
  optimizer: [],
  state: { step },
});

/** Steps as a trainer does them. */
function train(run: RunFolder, from: number, to: number, every = 10): void {
  for (let step = from; step <= to; step++) {
    run.appendMetrics(metric(step));
    if (step % 5 === 0)
      run.appendGains({
        step,
        single: { forward: [1, 1.5], backward: [1, 1] },
        composite: { forward: [1, 2], backward: [2, 1] },
        mixing: [
          [1, 0, 0, 1],
          [1, step, 0, 1],
        ],
      });
    if (step % every === 0) {
      run.appendSample({ step, prompt: "We ", text: `have\n\nstep 99, gone to ${step}\n` });
      run.saveCheckpoint(checkpoint(step));
    }
  }
}

const growing = ["metrics.jsonl", "gains.jsonl", "mixing.jsonl", "samples.txt"];
const contents = (): string[] => growing.map((name) => fs.readFileSync(inside(name), "utf8"));

describe("a new run", () => {
  it("has its configuration, its records and its checkpoints", () => {
    const run = create({ versions: { birkhoff: "0.1.0", node: "24" } });
    train(run, 1, 20);
    run.close();
    expect(openRunFolder(folder)).toEqual({
      folder,
      config,
      versions: { birkhoff: "0.1.0", node: "24" },
      checkpoints: [10, 20].map((step) => ({ step, folder: inside("checkpoints", `step-${step}`) })),
    });
    expect(readMetrics(folder)).toEqual(Array.from({ length: 20 }, (_, i) => metric(i + 1)));
    expect(readGains(folder).map(({ step }) => step)).toEqual([5, 10, 15, 20]);
    expect(fs.readFileSync(inside("samples.txt"), "utf8")).toContain(
      'step 20, prompt "We "\n  We have\n  \n  step 99, gone to 20\n  \n\n',
    );
    expect(fs.readdirSync(folder).sort()).toEqual([
      "checkpoints",
      "config.json",
      "events.jsonl",
      "gains.jsonl",
      "metrics.jsonl",
      "mixing.jsonl",
      "samples.txt",
    ]);
  });

  it("keeps matrices in a file of their own, and reads them with the gains", () => {
    const run = create();
    const gain = { step: 2, sublayers: [1, 3], single: { forward: [1, 1], backward: [1, 2] }, rowError: [0, NaN] };
    const matrices = {
      mixing: [
        [1, 0, 0, 1],
        [0.5, 0.5, 0.5, 0.5],
      ],
      product: [[1], [2]],
    };
    run.appendGains({ ...gain, ...matrices });
    run.appendGains({ step: 4, activation: [1, 2] });
    run.close();
    const linesOf = (name: string): unknown[] => readRecords(inside(name));
    expect(linesOf("gains.jsonl")).toEqual([gain, { step: 4, activation: [1, 2] }]);
    expect(linesOf("mixing.jsonl")).toEqual([{ step: 2, sublayers: [1, 3], ...matrices }]);
    expect(readGains(folder)).toEqual([
      { ...gain, ...matrices },
      { step: 4, activation: [1, 2] },
    ]);
    // A kill between the two leaves matrices without gains.
    fs.appendFileSync(inside("mixing.jsonl"), '{"step":6,"mixing":[[1]]}\n{"step":');
    expect(readGains(folder).map(({ step }) => step)).toEqual([2, 4]);
    fs.rmSync(inside("mixing.jsonl"));
    expect(readGains(folder)[0]).toEqual(gain);
  });

  it("is not made over another", () => {
    train(create(), 1, 10);
    opened.pop()!.close();
    const before = contents();
    expect(() => create()).toThrow(
      `there is a run in ${folder} already: go on with it (--resume), replace it (--overwrite), or give the new run another name`,
    );
    expect(contents()).toEqual(before);
    expect(fs.existsSync(inside("lock"))).toBe(false);
  });

  it("is not made over files that are no run", () => {
    fs.mkdirSync(folder);
    fs.writeFileSync(inside("samples.txt"), "mine");
    expect(() => create()).toThrow(`${folder} holds samples.txt but no run`);
    expect(() => create({ existing: "resume" })).toThrow("holds samples.txt but no run");
    expect(fs.readFileSync(inside("samples.txt"), "utf8")).toBe("mine");
  });

  it("is not made over the config.json of another program, also when asked to", () => {
    fs.mkdirSync(folder);
    fs.writeFileSync(inside("config.json"), '{"model_type":"llama"}');
    for (const existing of ["refuse", "overwrite"] as const)
      expect(() => create({ existing })).toThrow(`the config.json in ${folder} is not that of a run`);
    expect(fs.readFileSync(inside("config.json"), "utf8")).toBe('{"model_type":"llama"}');
  });

  it("replaces another when asked to, and nothing but its files", () => {
    train(create(), 1, 10);
    opened.pop()!.close();
    fs.writeFileSync(inside("notes.md"), "mine");
    const run = create({ existing: "overwrite" }, { ...config, seed: 2 });
    expect(run.resumeFrom).toBeUndefined();
    expect(readMetrics(folder)).toEqual([]);
    expect(openRunFolder(folder)).toMatchObject({ config: { seed: 2 }, checkpoints: [] });
    expect(fs.readFileSync(inside("notes.md"), "utf8")).toBe("mine");
  });

  it("fails before it starts where it cannot be written", () => {
    fs.writeFileSync(path.join(parent, "file"), "");
    expect(() => createRunFolder(path.join(parent, "file", "run"), config)).toThrow(
      "part of the path is a file, not a folder",
    );
  });

  it("says that a file system is read-only", () => {
    const failing = (code: string) => (): never => {
      throw Object.assign(new Error(code), { code });
    };
    // What Node answers there: ENOENT for several levels at once, EROFS for one.
    vi.spyOn(fs, "mkdirSync").mockImplementationOnce(failing("ENOENT")).mockImplementationOnce(failing("EROFS"));
    expect(() => createRunFolder(path.join(parent, "new", "run"), config)).toThrow("the file system is read-only");
  });

  it("fails before it starts where its checkpoints will not fit", () => {
    const { bavail, bsize } = fs.statfsSync(parent);
    expect(() => create({ checkpointBytes: bavail * bsize, keepCheckpoints: 2 })).toThrow(
      /^the checkpoints of the run need \d+ MiB, but the disk of .* has \d+ MiB free: free some space, or choose a folder on another disk$/,
    );
    expect(fs.existsSync(inside("config.json"))).toBe(false);
    expect(() => expectSpace(path.join(parent, "not", "there"), 1e18, "tokens")).toThrow(
      "tokens need 953674316407 MiB",
    );
    expectSpace(parent, 1, "tokens");
  });

  it("says where runs are when it is given a folder without one", () => {
    create();
    expect(() => openRunFolder(path.join(parent, "mch"))).toThrow(`there are runs in ${parent}: mhc`);
    expect(() => openRunFolder(parent)).toThrow(
      `there is no run in ${parent} (config.json: there is no such file or folder); there are runs in ${parent}: mhc`,
    );
  });
});

describe("a resumed run", () => {
  it("goes back to its last checkpoint and ends as if it had never stopped", () => {
    train(create(), 1, 40);
    opened.pop()!.close();
    const undisturbed = contents();
    fs.rmSync(folder, { recursive: true });

    fc.assert(
      fc.property(fc.integer({ min: 0, max: 39 }), fc.nat(30), (killedAfter, torn) => {
        const first = createRunFolder(folder, config, { existing: "overwrite" });
        train(first, 1, killedAfter);
        first.close();
        // Amid a step: part of a line is there, and perhaps part of a sample.
        fs.appendFileSync(inside("metrics.jsonl"), JSON.stringify(metric(killedAfter + 1)).slice(0, torn));
        fs.appendFileSync(inside("mixing.jsonl"), '{"step":41,"mixing":[[1]]}\n{"step":42,"mix'.slice(0, torn));
        fs.appendFileSync(inside("samples.txt"), `step ${killedAfter + 1}, prompt "We"\n  We`.slice(0, torn));
        const again = createRunFolder(folder, config, { existing: "resume" });
        const from = again.resumeFrom?.step ?? 0;
        expect(from).toBe(killedAfter - (killedAfter % 10));
        train(again, from + 1, 40);
        again.close();
        expect(contents()).toEqual(undisturbed);
      }),
      { numRuns: 25 },
    );
  });

  it("starts at the beginning where there was no run", () => {
    expect(create({ existing: "resume" }).resumeFrom).toBeUndefined();
  });

  it("takes an older checkpoint when the newest is damaged, and says so", () => {
    train(create(), 1, 25);
    opened.pop()!.close();
    fs.truncateSync(inside("checkpoints", "step-20", "model.safetensors"), 7);
    const warnings: string[] = [];
    const run = create({ existing: "resume", onWarning: (message) => warnings.push(message) });
    expect(run.resumeFrom).toEqual({ step: 10, folder: inside("checkpoints", "step-10") });
    expect(warnings).toEqual([expect.stringContaining("step-20 is damaged (model.safetensors: it has 7 bytes")]);
    expect(readMetrics(folder).at(-1)?.step).toBe(10);
  });

  it("does not start anew in silence when every checkpoint is damaged", () => {
    train(create(), 1, 10);
    opened.pop()!.close();
    fs.rmSync(inside("checkpoints", "step-10", "state.json"));
    expect(() => create({ existing: "resume" })).toThrow(`no checkpoint of ${folder} can be used`);
    expect(readMetrics(folder)).toHaveLength(10);
  });

  it("drops damaged lines and says so", () => {
    train(create(), 1, 10);
    opened.pop()!.close();
    const lines = fs.readFileSync(inside("metrics.jsonl"), "utf8").split("\n");
    lines[3] = "\0".repeat(lines[3]!.length);
    fs.writeFileSync(inside("metrics.jsonl"), lines.join("\n"));
    expect(() => readMetrics(folder)).toThrow(`line 4 of ${inside("metrics.jsonl")} is damaged`);
    const warnings: string[] = [];
    create({ existing: "resume", onWarning: (message) => warnings.push(message) });
    expect(warnings).toEqual([`line 4 of ${inside("metrics.jsonl")} was damaged and is dropped`]);
    expect(readMetrics(folder).map(({ step }) => step)).toEqual([1, 2, 3, 5, 6, 7, 8, 9, 10]);
  });

  it("refuses another configuration and lists what differs", () => {
    create().close();
    const changed = { ...config, optimizer: { ...config.optimizer, learningRate: 2e-3 }, steps: 5 };
    expect(() => create({ existing: "resume" }, changed)).toThrow(
      `the run in ${folder} was begun with another configuration:\n` +
        "  optimizer.learningRate: 0.001 in the run, 0.002 now\n  steps: nothing in the run, 5 now\n",
    );
  });

  it("says what to do about an unreadable configuration", () => {
    create().close();
    fs.truncateSync(inside("config.json"), 5);
    expect(() => create({ existing: "resume" })).toThrow("start the run anew (--overwrite)");
  });
});

describe("the lock", () => {
  it("keeps a second trainer out, in this process and in another", async () => {
    create();
    expect(() => create({ existing: "resume" })).toThrow(`${folder} is in use by process ${process.pid}`);
    const program = `
      import { createRunFolder } from ${JSON.stringify(new URL("../../src/runs/run-folder.ts", import.meta.url).href)};
      try { createRunFolder(process.argv[1], {}, { existing: "overwrite" }); } catch (error) { console.log(error.message); }`;
    const child = spawn(process.execPath, ["--input-type=module-typescript", "-e", program, folder]);
    let output = "";
    child.stdout.on("data", (text) => (output += text));
    await new Promise((resolve) => child.on("close", resolve));
    expect(output).toContain(
      `is in use by process ${process.pid} on ${os.hostname()}: wait for it, stop it, or train into another folder`,
    );
    expect(openRunFolder(folder).config).toEqual(config);
  });

  it("of a process that was killed is taken over", async () => {
    const program = `
      import { createRunFolder } from ${JSON.stringify(new URL("../../src/runs/run-folder.ts", import.meta.url).href)};
      createRunFolder(process.argv[1], ${JSON.stringify(config)}).appendMetrics(${JSON.stringify(metric(1))});
      console.log("ready");
      setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ["--input-type=module-typescript", "-e", program, folder]);
    await new Promise((resolve) => child.stdout.once("data", resolve));
    expect(() => create({ existing: "resume" })).toThrow(`is in use by process ${child.pid}`);
    const closed = new Promise((resolve) => child.on("close", resolve));
    child.kill("SIGKILL");
    await closed;
    expect(fs.existsSync(inside("lock"))).toBe(true);
    expect(create({ existing: "resume" }).resumeFrom).toBeUndefined();
  });

  const stale: Record<string, string> = {
    "of an earlier process with our number": JSON.stringify({ pid: process.pid, host: os.hostname(), started: "1" }),
    "whose process number is another process's by now": JSON.stringify({
      pid: process.ppid,
      host: os.hostname(),
      started: "1",
    }),
    "that was never written whole": '{"pid":',
  };
  for (const [what, content] of Object.entries(stale)) {
    it.skipIf(what.startsWith("whose") && !fs.existsSync("/proc/self/stat"))(`${what} is taken over`, () => {
      fs.mkdirSync(folder);
      fs.writeFileSync(inside("lock"), content);
      create().close();
      expect(fs.existsSync(inside("lock"))).toBe(false);
    });
  }

  it("of another machine is kept, with the way out", () => {
    fs.mkdirSync(folder);
    fs.writeFileSync(inside("lock"), JSON.stringify({ pid: 1, host: "elsewhere", started: "" }));
    expect(() => create()).toThrow(/in use by process 1 on elsewhere.* If that process no longer runs, delete .*lock$/);
  });
});

describe("records", () => {
  const textOf = (bytes: string | NodeJS.ArrayBufferView): string =>
    typeof bytes === "string" ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString();

  it("come back as they were, also those of a run that diverged", () => {
    const number = fc.double().filter((value) => !Object.is(value, -0));
    const record = fc.record({
      step: fc.nat(),
      loss: number,
      gradientNorm: number,
      learningRate: number,
      tokensPerSecond: number,
      seconds: number,
    });
    fc.assert(
      fc.property(fc.array(record, { maxLength: 10 }), (records) => {
        const run = createRunFolder(folder, config, { existing: "overwrite" });
        records.forEach((each) => run.appendMetrics(each));
        run.close();
        expect(readMetrics(folder)).toEqual(records);
      }),
      { numRuns: 30 },
    );
  });

  it("are read while one is being written", () => {
    const file = path.join(parent, "records.jsonl");
    fs.writeFileSync(file, '{"step":1}\n{"step":2}\n{"st');
    expect(readRecords(file)).toEqual([{ step: 1 }, { step: 2 }]);
    expect(() => readRecords(path.join(parent, "none"))).toThrow("there is no such file or folder");
  });

  it("are taken back whole when the disk fills up amid a line", () => {
    const file = path.join(parent, "records.jsonl");
    const log = openLog(file);
    log.append('{"step":1}\n');
    const { writeSync } = fs;
    vi.spyOn(fs, "writeSync")
      .mockImplementationOnce((descriptor: number, bytes: string | NodeJS.ArrayBufferView) =>
        writeSync(descriptor, textOf(bytes).slice(0, 4)),
      )
      .mockImplementationOnce(() => {
        throw Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
      });
    expect(() => log.append('{"step":2}\n')).toThrow(
      `cannot write to ${file}: the disk is full. What was written before is kept`,
    );
    log.append('{"step":3}\n');
    log.close();
    expect(fs.readFileSync(file, "utf8")).toBe('{"step":1}\n{"step":3}\n');
  });

  it("are written whole though a write takes only a part", () => {
    const { writeSync } = fs;
    vi.spyOn(fs, "writeSync").mockImplementation((descriptor: number, bytes: string | NodeJS.ArrayBufferView, from) =>
      writeSync(descriptor, textOf(bytes).slice(Number(from)).slice(0, 3)),
    );
    const file = path.join(parent, "whole");
    writeFileAtomically(file, "a text of some length");
    expect(fs.readFileSync(file, "utf8")).toBe("a text of some length");
  });
});

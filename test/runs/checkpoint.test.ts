// Checkpoints: what is saved comes back to the bit; kills, damage and a full disk cost at most one.

import { spawn, spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import * as fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  latestCheckpoint,
  listCheckpoints,
  loadCheckpoint,
  removeLeftovers,
  saveCheckpoint,
  type CheckpointContent,
} from "../../src/runs/checkpoint.ts";
import { readSafetensors } from "../../src/files/safetensors.ts";

let run: string;
beforeEach(() => void (run = fs.mkdtempSync(path.join(os.tmpdir(), "birkhoff-checkpoint-"))));
afterEach(() => fs.rmSync(run, { recursive: true }));

const root = (): string => path.join(run, "checkpoints");
const names = (): string[] => fs.readdirSync(root()).sort();
const steps = (): number[] => listCheckpoints(run).map(({ step }) => step);

function contentOf(step: number, size = 1000): CheckpointContent {
  const tensor = (name: string, factor: number) => ({
    name,
    shape: [size],
    data: Float32Array.from({ length: size }, (_, i) => step * factor + i),
  });
  return {
    step,
    model: [tensor("w", 1)],
    optimizer: [tensor("w.m", 2), tensor("w.v", 3)],
    state: { step, seconds: 1.5 * step },
  };
}

function latest(): { step: number | undefined; warnings: string[] } {
  const warnings: string[] = [];
  return { step: latestCheckpoint(run, (message) => warnings.push(message))?.step, warnings };
}

function damage(file: string): void {
  const bytes = fs.readFileSync(file);
  bytes[bytes.length - 3]! ^= 1;
  fs.writeFileSync(file, bytes);
}

function thrownBy(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    return String(error);
  }
  throw new Error("nothing was thrown");
}

/** By name, for tensors without values lie at the same place as their neighbours. */
const bits = (all: CheckpointContent["model"]) =>
  Object.fromEntries(
    all.map(({ name, shape, data }) => [name, { shape, bits: [...new Uint32Array(data.slice().buffer)] }]),
  );

describe("saving", () => {
  it("gives back what was saved, to the bit", () => {
    const tensors = fc
      .uniqueArray(
        fc.record({ name: fc.string({ minLength: 1, maxLength: 8 }), data: fc.float32Array({ maxLength: 20 }) }),
        { selector: ({ name }) => name, maxLength: 4 },
      )
      .map((all) => all.map(({ name, data }) => ({ name, data, shape: [1, data.length] })));
    const state = fc
      .dictionary(fc.string(), fc.jsonValue(), { maxKeys: 4, noNullPrototype: true })
      .map((value): Record<string, unknown> => JSON.parse(JSON.stringify(value)));
    fc.assert(
      fc.property(fc.nat(10 ** 9), tensors, tensors, state, (step, model, optimizer, state) => {
        const { folder } = saveCheckpoint(run, { step, model, optimizer, state });
        const loaded = loadCheckpoint(folder);
        expect(loaded.step).toBe(step);
        expect(loaded.state).toEqual(state);
        expect(bits(loaded.model)).toEqual(bits(model));
        expect(bits(loaded.optimizer)).toEqual(bits(optimizer));
      }),
      { numRuns: 40 },
    );
  });

  it("takes values that lie in shared memory", () => {
    const data = new Float32Array(new SharedArrayBuffer(64), 16, 4);
    data.set([1, 2, 3, 4]);
    const { folder } = saveCheckpoint(run, {
      step: 1,
      model: [{ name: "w", shape: [2, 2], data }],
      optimizer: [],
      state: {},
    });
    expect([...loadCheckpoint(folder).model[0]!.data]).toEqual([1, 2, 3, 4]);
  });

  it("writes files that are readable one by one", () => {
    const { folder } = saveCheckpoint(run, contentOf(100));
    expect(folder).toBe(path.join(root(), "step-100"));
    expect(fs.readdirSync(folder).sort()).toEqual(["model.safetensors", "optimizer.safetensors", "state.json"]);
    const { metadata, tensors } = readSafetensors(path.join(folder, "model.safetensors"));
    expect(metadata).toEqual({ step: "100" });
    expect(tensors.get("w")!.data[3]).toBe(103);
    const state = JSON.parse(fs.readFileSync(path.join(folder, "state.json"), "utf8"));
    expect(state).toMatchObject({ format: 1, step: 100, state: { seconds: 150 } });
    expect(state.files["model.safetensors"].bytes).toBe(fs.statSync(path.join(folder, "model.safetensors")).size);
  });

  it("keeps the newest two, by number and not by name", () => {
    for (const step of [8, 9, 10, 100]) saveCheckpoint(run, contentOf(step));
    expect(names()).toEqual(["step-10", "step-100"]);
    saveCheckpoint(run, contentOf(110), { keep: 1 });
    expect(names()).toEqual(["step-110"]);
  });

  it("drops later steps when a run has gone back", () => {
    for (const step of [100, 200]) saveCheckpoint(run, contentOf(step));
    saveCheckpoint(run, contentOf(150));
    expect(names()).toEqual(["step-100", "step-150"]);
  });

  it("replaces a checkpoint of the same step", () => {
    saveCheckpoint(run, contentOf(5));
    saveCheckpoint(run, { ...contentOf(5), state: { second: true } });
    expect(names()).toEqual(["step-5"]);
    expect(loadCheckpoint(path.join(root(), "step-5")).state).toEqual({ second: true });
  });

  it("says what is wrong with a step or a number to keep", () => {
    expect(() => saveCheckpoint(run, contentOf(1.5))).toThrow("a checkpoint's step is 1.5");
    expect(() => saveCheckpoint(run, contentOf(1), { keep: 0 })).toThrow("at least 1 must be");
    expect(fs.readdirSync(run)).toEqual([]);
  });
});

describe("after a kill", () => {
  it("ignores a checkpoint that was being written, and removes it with the next save", () => {
    saveCheckpoint(run, contentOf(1));
    const leftover = path.join(root(), ".writing-step-2-99999");
    fs.cpSync(path.join(root(), "step-1"), leftover, { recursive: true });
    fs.rmSync(path.join(leftover, "state.json"));
    fs.mkdirSync(path.join(root(), ".removing-step-0"));
    expect(latest()).toEqual({ step: 1, warnings: [] });
    saveCheckpoint(run, contentOf(2));
    expect(names()).toEqual(["step-1", "step-2"]);
  });

  it("finds the old checkpoint when the kill came between the two renames", () => {
    saveCheckpoint(run, contentOf(7));
    fs.renameSync(path.join(root(), "step-7"), path.join(root(), "step-7.replaced"));
    removeLeftovers(run);
    expect(latest()).toEqual({ step: 7, warnings: [] });
    saveCheckpoint(run, contentOf(7));
    expect(names()).toEqual(["step-7"]);
  });

  it("always has the newest checkpoint whole", async () => {
    const program = `
      import { saveCheckpoint } from ${JSON.stringify(new URL("../../src/runs/checkpoint.ts", import.meta.url).href)};
      const contentOf = ${contentOf.toString()};
      for (let step = Number(process.argv[2]) + 1; ; step++) {
        saveCheckpoint(process.argv[1], contentOf(step, 50_000));
        process.stdout.write("saved " + step + "\\n");
      }`;
    let last = 0;
    for (let kill = 0; kill < 8; kill++) {
      const child = spawn(process.execPath, ["--input-type=module-typescript", "-e", program, run, String(last)]);
      let told = last;
      let errors = "";
      child.stderr.on("data", (text) => (errors += text));
      await new Promise<void>((resolve) => {
        child.stdout.on("data", (text) => {
          if (told === last) setTimeout(() => child.kill("SIGKILL"), Math.random() * 60);
          told = Number(String(text).trim().split(" ").at(-1));
        });
        child.on("close", () => resolve());
      });
      const { step, warnings } = latest();
      expect(warnings, errors).toEqual([]);
      expect(step, errors).toBeGreaterThanOrEqual(told);
      expect(told).toBeGreaterThan(last);
      const { model, optimizer, state } = loadCheckpoint(path.join(root(), `step-${step}`));
      expect({ step, model, optimizer, state }).toEqual(contentOf(step!, 50_000));
      last = step!;
    }
  });
});

describe("damage", () => {
  const damages: Record<string, (folder: string) => void> = {
    "model.safetensors: its checksum is wrong": (folder) => damage(path.join(folder, "model.safetensors")),
    "optimizer.safetensors: it has 10 bytes": (folder) =>
      fs.truncateSync(path.join(folder, "optimizer.safetensors"), 10),
    "optimizer.safetensors: there is no such file": (folder) => fs.rmSync(path.join(folder, "optimizer.safetensors")),
    "state.json: there is no such file": (folder) => fs.rmSync(path.join(folder, "state.json")),
    "state.json: Unexpected end of JSON": (folder) => fs.truncateSync(path.join(folder, "state.json"), 0),
    "state.json: its checksum is wrong": (folder) => {
      const file = path.join(folder, "state.json");
      fs.writeFileSync(file, fs.readFileSync(file, "utf8").replace('"seconds": 3', '"seconds": 4'));
    },
    "is of format 3; this version of birkhoff reads formats 1 and 2": (folder) =>
      fs.writeFileSync(path.join(folder, "state.json"), '{"format":3}'),
  };
  for (const [message, harm] of Object.entries(damages)) {
    it(`is found and the older checkpoint taken (${message})`, () => {
      saveCheckpoint(run, contentOf(1));
      const { folder } = saveCheckpoint(run, contentOf(2));
      harm(folder);
      const { step, warnings } = latest();
      expect(step).toBe(1);
      expect(warnings).toHaveLength(1);
      expect(warnings[0]).toContain(folder);
      expect(warnings[0]).toContain(message);
      expect(() => loadCheckpoint(folder)).toThrow(message);
    });
  }

  it("is found in any byte of any file", () => {
    saveCheckpoint(run, contentOf(1, 4));
    const { folder } = saveCheckpoint(run, contentOf(2, 4));
    const files = fs
      .readdirSync(folder)
      .map((name) => path.join(folder, name))
      .map((file) => ({ file, sound: fs.readFileSync(file) }));
    fc.assert(
      fc.property(
        fc.constantFrom(...files),
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        ({ file, sound }, at, change) => {
          const bytes = Buffer.from(sound);
          bytes[at % bytes.length]! ^= change;
          fs.writeFileSync(file, bytes);
          const found = latestCheckpoint(run, () => {});
          // White space in state.json may change; nothing else.
          const same = file.endsWith("state.json") && found?.step === 2;
          if (same) expect(JSON.parse(String(bytes))).toEqual(JSON.parse(String(sound)));
          else expect(found?.step).toBe(1);
          fs.writeFileSync(file, sound);
        },
      ),
    );
  });

  it("is found when a folder carries another step's name", () => {
    saveCheckpoint(run, contentOf(1));
    fs.renameSync(path.join(root(), "step-1"), path.join(root(), "step-3"));
    expect(latest()).toMatchObject({ step: undefined, warnings: [expect.stringContaining("it is of step 1")] });
  });
});

describe("a full disk", () => {
  const fullAfter =
    (bytes: number) =>
    (descriptor: number, chunk: Uint8Array): void => {
      bytes -= chunk.length;
      if (bytes < 0) throw Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
      fs.writeSync(descriptor, chunk);
    };

  it("leaves the last checkpoint, says which it is, and leaves nothing half-written", () => {
    const { folder } = saveCheckpoint(run, contentOf(1));
    for (const room of [0, 500, 5000, 12_500]) {
      const message = thrownBy(() => saveCheckpoint(run, contentOf(2), { keep: 1, write: fullAfter(room) }));
      expect(message).toContain(`the checkpoint of step 2 could not be written to ${root()}: the disk is full`);
      expect(message).toContain(`the last good checkpoint is ${folder}. Free 1 MiB`);
      expect(names()).toEqual(["step-1"]);
    }
    expect(loadCheckpoint(folder)).toMatchObject(contentOf(1));
  });

  it("says so when there is no checkpoint yet", () => {
    expect(() => saveCheckpoint(run, contentOf(2), { write: fullAfter(0) })).toThrow("There is no earlier checkpoint.");
    expect(steps()).toEqual([]);
  });

  // A real one: a small file system in memory, mounted in a name space of its own, where the system lets us.
  const inSmallDisk = (command: string[]) =>
    spawnSync("unshare", ["-rm", "sh", "-c", 'mount -t tmpfs -o size=1m tmpfs "$0" && exec "$@"', run, ...command], {
      encoding: "utf8",
    });
  it.skipIf(inSmallDiskFails())("is survived on a real small disk", () => {
    const program = `
      import fs from "node:fs";
      import { latestCheckpoint, saveCheckpoint } from ${JSON.stringify(new URL("../../src/runs/checkpoint.ts", import.meta.url).href)};
      const contentOf = ${contentOf.toString()};
      const run = process.argv[1];
      saveCheckpoint(run, contentOf(1, 20_000));
      fs.writeFileSync(run + "/ballast", Buffer.alloc(600_000));
      try { saveCheckpoint(run, contentOf(2, 20_000)); } catch (error) { console.log(error.message); }
      console.log(fs.readdirSync(run + "/checkpoints").join(), latestCheckpoint(run).step);
      fs.rmSync(run + "/ballast");
      console.log(saveCheckpoint(run, contentOf(2, 20_000)).step);`;
    const { stdout, stderr } = inSmallDisk([process.execPath, "--input-type=module-typescript", "-e", program, run]);
    const [message, afterwards, next] = stdout.trim().split("\n");
    expect(message, stderr).toContain("the disk is full. Nothing that was saved is lost: the last good checkpoint is");
    expect(afterwards).toBe("step-1 1");
    expect(next).toBe("2");
  });

  it("is not the only reason: a folder inside a file is another", () => {
    const file = path.join(run, "file");
    fs.writeFileSync(file, "");
    const place = path.join(file, "checkpoints");
    expect(() => saveCheckpoint(file, contentOf(1))).toThrow(
      `the checkpoint of step 1 could not be written to ${place}: part of the path is a file, not a folder. There is no earlier checkpoint.`,
    );
  });
});

function inSmallDiskFails(): boolean {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "birkhoff-mount-"));
  const { status } = spawnSync("unshare", ["-rm", "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder]);
  fs.rmdirSync(folder);
  return status !== 0;
}

// Parameters of one's own go to a file and come back to the bit. What does not fit is told by its name and changes
// nothing; a file that is damaged anywhere is refused or gives what it holds.

import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, afterEach, beforeEach, expect, test } from "vitest";
import { uniformInteger } from "../../src/data/random.ts";
import { readSafetensors } from "../../src/files/safetensors.ts";
import { encodeSafetensors } from "../../src/files/write-safetensors.ts";
import { createParameters, initialise, openRuntime, type ParameterSet, type Runtime } from "../../src/index.ts";
import { loadParameters, saveParameters } from "../../src/runs.ts";
import { squareNet } from "./net.ts";

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "birkhoff-parameters-"));
afterAll(() => fs.rmSync(folder, { recursive: true }));
const at = (name: string): string => path.join(folder, name);

let runtime: Runtime;
beforeEach(async () => void (runtime = await openRuntime({ threads: 1 })));
afterEach(() => runtime.close());

const read = (parameters: ParameterSet) =>
  Promise.all(
    parameters.all.map(async ({ tensor }) => new Uint32Array(Float32Array.from(await runtime.read(tensor)).buffer)),
  );

function pair(names: readonly (readonly [string, readonly number[]])[]): ParameterSet {
  const parameters = createParameters();
  for (const [name, shape] of names) parameters.create(name, [...shape], { normal: 1 }, "weight");
  return parameters;
}

test("what is saved comes back to the bit, zeros of both signs and what is not finite too", async () => {
  const { parameters } = squareNet();
  initialise(runtime, parameters, 7);
  const odd = [-0, 0, NaN, Infinity, -Infinity, 1e-45, 3.4e38, 1 / 3];
  const first = parameters.all[0]!;
  const values = Float32Array.from(await runtime.read(first.tensor));
  values.set(odd.slice(0, Math.min(odd.length, values.length)));
  runtime.write(first.tensor, values);
  const before = await read(parameters);
  await saveParameters(runtime, parameters, at("net.safetensors"));
  initialise(runtime, parameters, 8);
  expect(await read(parameters)).not.toEqual(before);
  expect(loadParameters(runtime, parameters, at("net.safetensors"))).toEqual({ missing: [], extra: [] });
  expect(await read(parameters)).toEqual(before);
  const stored = readSafetensors(at("net.safetensors")).tensors;
  expect([...stored.keys()]).toEqual(parameters.all.map(({ name }) => name));
  expect([...stored.values()].every(({ dtype }) => dtype === "F32")).toBe(true);
  expect(fs.readdirSync(folder)).toEqual(["net.safetensors"]);
});

test("missing, extra, another shape and whole numbers are told together, and nothing is written", async () => {
  const saved = pair([
    ["a", [2, 3]],
    ["b", [4]],
    ["blocks.0.weight", [2]],
  ]);
  initialise(runtime, saved, 1);
  await saveParameters(runtime, saved, at("saved.safetensors"));
  const other = pair([
    ["a", [3, 2]],
    ["b", [4]],
    ["block0.weight", [2]],
  ]);
  initialise(runtime, other, 2);
  const before = await read(other);
  const load = (strict?: boolean) => () =>
    loadParameters(runtime, other, at("saved.safetensors"), strict === undefined ? {} : { strict });
  expect(load()).toThrow(
    /does not fit the parameters:\n {2}"a" is \[2, 3\], and \[3, 2\] here\n {2}"block0\.weight" is missing\. Did you mean "blocks\.0\.weight"\?\n {2}"blocks\.0\.weight" is no parameter here\nBuild the network as it was/,
  );
  expect(load(false)).toThrow(/"a" is \[2, 3\], and \[3, 2\] here\nBuild/);
  expect(await read(other)).toEqual(before);

  const part = pair([
    ["b", [4]],
    ["head", [5]],
  ]);
  initialise(runtime, part, 3);
  const head = (await read(part))[1];
  expect(loadParameters(runtime, part, at("saved.safetensors"), { strict: false })).toEqual({
    missing: ["head"],
    extra: ["a", "blocks.0.weight"],
  });
  expect(await read(part)).toEqual([(await read(saved))[1], head]);

  fs.writeFileSync(
    at("whole.safetensors"),
    Buffer.concat(encodeSafetensors([{ name: "b", shape: [4], data: new Int32Array(4) }])),
  );
  expect(() => loadParameters(runtime, pair([["b", [4]]]), at("whole.safetensors"))).toThrow(
    /"b" holds I32, and a parameter is one of F32, F16, BF16/,
  );
  expect(() => loadParameters(runtime, part, at("none.safetensors"))).toThrow(
    /none\.safetensors: there is no such file/,
  );
  expect(() => loadParameters(runtime, part, at("saved.safetensors"), { strct: true } as never)).toThrow(
    /there is no option "strct"; .* Did you mean "strict"\?/,
  );
  await expect(saveParameters(runtime, part, at("no/where.safetensors"))).rejects.toThrow(
    /saveParameters: cannot write .*where\.safetensors: there is no such file or folder/,
  );
});

test("300 mutated files are refused with a message that names the file, or give values of the right number", async () => {
  const parameters = pair([
    ["a", [2, 3]],
    ["b", [4]],
  ]);
  initialise(runtime, parameters, 1);
  await saveParameters(runtime, parameters, at("sound.safetensors"));
  const sound = fs.readFileSync(at("sound.safetensors"));
  const start = 8 + Number(sound.readBigUInt64LE());
  let refused = 0;
  for (let round = 0; round < 300; round++) {
    const pick = (index: number, most: number): number => uniformInteger(11, round, index, most);
    const bytes = Buffer.from(sound);
    // Half of them in the head.
    const place = round % 2 === 0 ? pick(0, start) : pick(0, bytes.length);
    bytes[place] = pick(1, 256);
    const mutated = round % 5 === 0 ? bytes.subarray(0, pick(2, bytes.length)) : bytes;
    fs.writeFileSync(at("mutated.safetensors"), mutated);
    const before = await read(parameters);
    try {
      loadParameters(runtime, parameters, at("mutated.safetensors"));
    } catch (error) {
      refused += 1;
      expect((error as Error).constructor.name, (error as Error).stack).toMatch(/^(Error|UnsoundSafetensorsError)$/);
      expect((error as Error).message).toContain("mutated.safetensors");
      expect(await read(parameters)).toEqual(before);
    }
  }
  expect(refused).toBeGreaterThan(100);
});

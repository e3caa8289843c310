// The table of docs/connections.md against the code.

import fs from "node:fs";
import { expect, test } from "vitest";
import { connectionOf, parseChoice } from "../../src/cli/connections.ts";
import { sublayerRows } from "../../src/cli/sublayers.ts";
import type { State } from "../../src/connections/connection.ts";
import { createParameters } from "../../src/graph/parameters.ts";
import { input } from "../../src/graph/state.ts";
import { sizeOf, type Tensor } from "../../src/graph/tensor.ts";
import { connectionKinds, createConnection } from "../../src/connections/table.ts";
import { modelSchema, presets } from "../../src/model/config.ts";
import { languageModel } from "../../src/model/language-model.ts";
import { tanh } from "../../src/ops/elementwise.ts";

const text = fs.readFileSync(new URL("../../docs/connections.md", import.meta.url), "utf8");
const rows = text
  .split("\n")
  .filter((line) => line.startsWith("| `"))
  .map((line) => line.split("|").map((cell) => cell.trim()))
  // A shorter table further down has options of mHC.
  .filter(({ length }) => length === 10)
  .map(([, kind, , , , parameters, form, numbers]) => ({
    choice: parseChoice(kind!.replaceAll("`", "")),
    parameters: Number(parameters!.replaceAll(",", "")),
    form,
    numbers: Number(numbers!.replaceAll(",", "")),
  }));

test("the table has every kind", () => {
  expect([...new Set(rows.map(({ choice }) => choice.kind))].sort()).toEqual([...connectionKinds].sort());
});

test.each(rows)("$choice.name: parameters and state", ({ choice, parameters, form, numbers }) => {
  const { nano } = presets;
  const config = connectionOf(choice);
  const model = modelSchema.parse({ ...nano, vocabulary: 256, connection: config });
  expect(sublayerRows(model).reduce((sum, row) => sum + row.parameters, 0)).toBe(parameters);

  const connection = createConnection(config);
  expect(connection.form).toBe(form);
  const own = createParameters();
  let state: State = connection.expand(input("x", [1, nano.width]));
  const sizes = Array.from({ length: 2 * nano.layers }, (_, index) => {
    const sublayer = connection.sublayer(own.under(String(index)), { channels: nano.width, index });
    state = sublayer.apply(state, tanh).state;
    const tensors = new Set<Tensor>("node" in state ? [state] : state);
    return [...tensors].reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  });
  expect(Math.max(...sizes)).toBe(numbers);
});

test("what a gated residual has at the end", () => {
  const parameters = createParameters();
  languageModel(
    modelSchema.parse({ ...presets.nano, vocabulary: 256, connection: { kind: "gated-residual" } }),
    parameters,
  );
  const end = parameters.all.filter(({ name }) => name.startsWith("ending."));
  expect(end.reduce((sum, { tensor }) => sum + sizeOf(tensor.shape), 0)).toBe(16_896);
  expect(text).toContain("= 16,896 parameters");
});

test("the configuration it shows is one", () => {
  const json = /```json\n([\s\S]*?)```/.exec(text)![1]!;
  const model = modelSchema.parse({ ...presets.mini, vocabulary: 256, connection: JSON.parse(json) });
  const used = sublayerRows(model);
  expect(used).toHaveLength(16);
  expect(used[0]!.connection).toBe("residual");
  expect(used[8]!.connection).toBe("mhc:streams=4:residualMap=cayley");
  expect(used[15]!.form).toBe("2 streams");
});

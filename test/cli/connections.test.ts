// Connections as a command line names them.

import { expect, test } from "vitest";
import { choiceOf, comparedByDefault, connectionOf, parseChoice, parseChoices } from "../../src/cli/connections.ts";
import { connectionText } from "../../src/cli/sublayers.ts";
import { connectionKinds, connectionOptions, defaultConnection } from "../../src/connections/table.ts";

test("a kind with options of its own has a name fit for a folder, and a configuration", () => {
  const choice = parseChoice(" hc:streams=2:dynamic=false ");
  expect(choice.name).toBe("hc-streams=2-dynamic=false");
  expect(connectionOf(choice)).toEqual({ kind: "hc", streams: 2, collapse: "sum", dynamic: false });
  expect(parseChoice("mhc:residualMap=row-softmax").name).toBe("mhc-residualMap=row-softmax");
  expect(comparedByDefault.map(({ name }) => name)).toEqual(["residual", "hc", "mhc"]);
});

test("options for all kinds go to those that have them, and a choice's own come first", () => {
  const shared = { streams: 8, iterations: 5, residualMap: undefined };
  const [plain, hc, own, dense] = parseChoices("mhc,hc,mhc:streams=2,dense").map((choice) =>
    connectionOf(choice, shared),
  );
  expect(plain).toEqual({ kind: "mhc", streams: 8, iterations: 5 });
  expect(hc).toEqual({ kind: "hc", streams: 8, collapse: "sum" });
  expect(own).toEqual({ kind: "mhc", streams: 2, iterations: 5 });
  expect(dense).toEqual({ kind: "dense" });
});

test("the fields of a configuration name a choice too", () => {
  expect(choiceOf({ kind: "hc", streams: 2 })).toEqual({ name: "hc", kind: "hc", options: { streams: 2 } });
  expect(() => choiceOf({ kind: "hcc" })).toThrow(/^"hcc" is not a connection; use .*Did you mean "hc"\?$/);
  expect(() => choiceOf({ streams: 2 })).toThrow(/^nothing is not a connection; use /);
  expect(() => choiceOf({ kind: "hc", streams: 0 })).toThrow("hc: streams: 0 is given; it must be at least 1");
});

test("every kind is a choice, and what inspect prints is one again", () => {
  for (const kind of connectionKinds) {
    const config = defaultConnection(kind);
    expect(connectionOf(parseChoice(kind))).toEqual(config);
    expect(connectionOf(parseChoice(connectionText(config)))).toEqual(config);
    expect(Object.keys(config).filter((name) => name !== "kind" && !connectionOptions(kind).includes(name))).toEqual(
      [],
    );
  }
});

test("iterations are told of where there are any", () => {
  const iterations = 20;
  for (const config of [
    { kind: "mhc", streams: 4, iterations, residualMap: "identity" },
    { kind: "mhc", streams: 4, iterations, maps: "pre-post" },
  ] as const) {
    expect(connectionText(config)).not.toContain("iterations");
    expect(connectionOf(parseChoice(connectionText(config)))).toEqual(config);
  }
  expect(connectionText({ kind: "mhc", streams: 4, iterations, residualMap: "sinkhorn-implicit" })).toContain(
    "iterations=20",
  );
});

test("mistakes are told of, with what is allowed", () => {
  expect(() => parseChoices("residual,none")).toThrow('"none" is not a connection; use residual, hc, mhc,');
  expect(() => parseChoices("residual,residual")).toThrow("residual is listed twice. To compare two of one kind");
  expect(() => parseChoice("dense:streams=2")).toThrow('"streams=2" is not an option=value; dense has no options.');
  expect(() => parseChoice("hc:residualMap=cayley")).toThrow(/the options of hc are streams, collapse, dynamic, tanh/);
  for (const text of ["hc:streams", "hc:streams="])
    expect(() => parseChoice(text)).toThrow(/"streams=?" gives no value to streams\. Give one, as in streams=value\.$/);
  expect(() => parseChoice("hc:streams=many")).toThrow(
    /hc:streams=many: streams: "many" is given; it must be a number/,
  );
  expect(() => parseChoice("mhc:residualMap=newt")).toThrow(/residualMap: .*"identity"/);
});

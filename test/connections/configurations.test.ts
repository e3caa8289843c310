// Configurations of connections: what an end that somebody asked for means, and what older versions wrote.

import { describe, expect, test } from "vitest";
import { mhcConventionNames, mhcConventions } from "../../src/connections/conventions/table.ts";
import { mhc } from "../../src/connections/mhc.ts";
import {
  type ConnectionConfig,
  connectionKind,
  connectionKinds,
  connectionOptions,
  connectionSchema,
  createConnection,
  defaultConnection,
} from "../../src/connections/table.ts";
import { parseChoice } from "../../src/cli/connections.ts";
import { modelSchema, parseConnection } from "../../src/model/config.ts";
import { tinyConfig } from "../model/tiny.ts";

const messageOf = (call: () => unknown): string => {
  try {
    call();
  } catch (error) {
    return (error as Error).message;
  }
  return "nothing was thrown";
};

describe("the table", () => {
  test.each(connectionKinds)("%s: its defaults make a connection of its name, and every option is known", (kind) => {
    const config = defaultConnection(kind);
    expect(createConnection(config).name).toBe(kind);
    expect(Object.keys(config).filter((field) => field !== "kind")).toEqual(
      connectionOptions(kind).filter((option) => option in config),
    );
    expect(connectionKind(kind)).toBe(kind);
  });
});

describe("what is wrong", () => {
  test.each([
    ["an option out of its range", { kind: "mhc", streams: 0 }, 1],
    ["two of them", { kind: "mhc", streams: 0, iterations: 0 }, 2],
    ["a tolerance below that of float32", { kind: "mhc", residualMap: "sinkhorn-adaptive", tolerance: 1e-12 }, 1],
    ["options that do not go together", { kind: "mhc", streams: 9, residualMap: "permutations" }, 1],
  ])("is told once: %s", (_, config, count) => {
    expect(connectionSchema.safeParse(config).error?.issues).toHaveLength(count);
  });
});

describe("an end that is asked for", () => {
  const asked = { kind: "mhc", convention: "deepseek-v4", collapse: "mean" } as const;
  const refusal = messageOf(() => mhc({ convention: "deepseek-v4", collapse: "mean" }));

  test("is refused by the same words everywhere where the convention does not have it", () => {
    expect(refusal).toMatch(/^mhc: convention "deepseek-v4" ends with "learned", got collapse "mean"/);
    expect(() => createConnection({ ...asked, streams: 4, iterations: 20 })).toThrow(new RangeError(refusal));
    expect(() => parseConnection(asked)).toThrow(new RangeError(refusal));
    expect(messageOf(() => parseChoice("mhc:convention=deepseek-v4:collapse=mean"))).toContain(refusal);
    expect(messageOf(() => parseChoice("manifold:convention=deepseek-v4:collapse=mean"))).toContain(refusal);
    expect(messageOf(() => modelSchema.parse({ ...tinyConfig("residual"), connection: asked }))).toContain(
      JSON.stringify(refusal).slice(1, -1),
    );
  });

  test("is honoured where it does", () => {
    for (const convention of mhcConventionNames) {
      for (const collapse of mhcConventions[convention].ends) {
        const config = parseConnection({ kind: "mhc", convention, collapse });
        expect(config).toEqual({ kind: "mhc", streams: 4, iterations: 20, convention, collapse });
        expect(createConnection(config).ending !== undefined, `${convention} ${collapse}`).toBe(collapse === "learned");
      }
    }
  });

  test("is not in a configuration where nobody asked: the convention has its own", () => {
    const config = parseConnection({ kind: "mhc", convention: "deepseek-v4" });
    expect(config).not.toHaveProperty("collapse");
    expect(createConnection(config).ending).toBeDefined();
    expect(createConnection(parseConnection({ kind: "mhc" })).ending).toBeUndefined();
  });
});

describe("what older versions wrote", () => {
  const read = (connection: object): ConnectionConfig => parseConnection(connection);

  test("manifold is mhc, hyper is hc", () => {
    expect(read({ kind: "hyper", streams: 2, collapse: "sum", tanh: false })).toEqual(
      read({ kind: "hc", streams: 2, collapse: "sum", tanh: false }),
    );
    expect(read({ kind: "manifold", streams: 2, residualMap: "cayley" })).toEqual(
      read({ kind: "mhc", streams: 2, residualMap: "cayley" }),
    );
    expect([connectionKind("hyper"), connectionKind("manifold"), connectionKind("hypr")]).toEqual([
      "hc",
      "mhc",
      undefined,
    ]);
  });

  test("their mean stood for nobody's choice, so it keeps meaning the convention's own end", () => {
    const old = { kind: "manifold", streams: 4, iterations: 20, convention: "deepseek-v4", collapse: "mean" };
    expect(read(old)).toEqual({ kind: "mhc", streams: 4, iterations: 20, convention: "deepseek-v4" });
    expect(read({ ...old, convention: "paper" })).not.toHaveProperty("collapse");
    expect(read({ ...old, convention: "liger", collapse: "sum" })).toHaveProperty("collapse", "sum");
    expect(() => read({ ...old, collapse: "sum" })).toThrow(/ends with "learned", got collapse "sum"/);
  });

  test("in the overrides of a model too", () => {
    const model = modelSchema.parse({
      ...tinyConfig("residual"),
      connection: {
        default: { kind: "manifold", collapse: "mean" },
        overrides: [{ layers: [0], connection: { kind: "hyper" } }],
      },
    });
    expect(model.connection).toEqual({
      default: { kind: "mhc", streams: 4, iterations: 20 },
      overrides: [{ layers: [0], connection: { kind: "hc", streams: 4, collapse: "sum" } }],
    });
  });

  test("and on the command line, whose runs get today's names", () => {
    expect(parseChoice("manifold:streams=2")).toEqual({
      name: "mhc-streams=2",
      kind: "mhc",
      options: { streams: 2 },
    });
  });
});

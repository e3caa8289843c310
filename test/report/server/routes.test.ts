// What the live page's server answers, and to whom: nothing outside the root, nobody without the token,
// no other site; and hostile folders break nothing.

import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import type { Hono } from "hono";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import type { Curves, GainMaps, Mixing, RunCard, RunTexts } from "../../../src/report/server/messages.ts";
import type { RunData } from "../../../src/runs/run-data.ts";
import { createRoutes, type ServerOptions } from "../../../src/report/server/routes.ts";
import { findRuns } from "../../../src/runs/find-runs.ts";
import { openRunFolder } from "../../../src/runs/run-folder.ts";
import { lockFolder } from "../../../src/files/lock.ts";
import { gainLine, makeRoot, metricLine, writeRun } from "./runs.ts";

const place = makeRoot();
const outside = makeRoot();
const page = new Map([["/index.html", { bytes: new TextEncoder().encode("<title>page</title>"), type: "text/html" }]]);
afterAll(() => [place, outside].forEach((each) => each.remove()));

beforeAll(() => {
  writeRun(place.at("first", "mhc"));
  writeRun(place.at("first", "hc"), { connection: "hc", done: 40 });
  writeRun(outside.at("secret"));
});

const routes = (options: Partial<ServerOptions> = {}): Hono =>
  createRoutes({ root: place.root, host: "127.0.0.1", page, ...options });
const get = async (app: Hono, address: string, headers: Record<string, string> = {}): Promise<Response> =>
  app.request(address, { headers: { host: "127.0.0.1:7333", ...headers } });
const json = async <T>(app: Hono, address: string): Promise<T> => (await get(app, address)).json() as Promise<T>;
const post = async (
  app: Hono,
  address: string,
  body: unknown,
  headers: Record<string, string> = {},
): Promise<Response> => {
  const text = JSON.stringify(body);
  const all = {
    host: "127.0.0.1:7333",
    "content-length": `${text.length}`,
    origin: "http://127.0.0.1:7333",
    ...headers,
  };
  return app.request(address, { method: "POST", body: text, headers: all });
};
const query = (run: string, rest = ""): string => `?run=${encodeURIComponent(run)}${rest}`;
const cards = async (app = routes()): Promise<RunCard[]> => (await json<{ cards: RunCard[] }>(app, "/api/runs")).cards;

describe("runs", () => {
  test("are found at any depth, with what they are and where they stand", async () => {
    const found = await cards();
    expect(found.map(({ id }) => id).sort()).toEqual(["first/hc", "first/mhc"]);
    expect(found.find(({ id }) => id === "first/mhc")).toMatchObject({
      name: "mhc",
      group: "first",
      connection: "mhc",
      size: "nano",
      state: "finished",
      step: 100,
      steps: 100,
      tokensPerStep: 2048,
      tags: [],
    });
    expect(found.find(({ id }) => id === "first/hc")).toMatchObject({
      connection: "hc",
      state: "stopped",
      step: 40,
    });
  });

  test("of older versions are shown under today's names, unknown kinds as they are", async () => {
    writeRun(place.at("old", "a"), { connection: "manifold", done: 1 });
    writeRun(place.at("old", "b"), { connection: "constructor", done: 1 });
    const found = (await cards(routes())).filter(({ group }) => group === "old");
    expect(found.map(({ connection }) => connection).sort()).toEqual(["constructor", "mhc"]);
    fs.rmSync(place.at("old"), { recursive: true });
  });

  test("that a process holds are in training; those that went wrong have diverged", async () => {
    const app = routes();
    await cards(app);
    const stateOf = async (id: string): Promise<unknown> => (await cards(app)).find((card) => card.id === id)?.state;
    const unlock = lockFolder(place.at("first", "hc"));
    expect(await stateOf("first/hc")).toBe("training");
    const left = fs.readFileSync(place.at("first", "hc", "lock"), "utf8");
    unlock();
    expect(await stateOf("first/hc")).toBe("stopped");
    // The lock of a process that was killed.
    fs.writeFileSync(place.at("first", "hc", "lock"), JSON.stringify({ ...JSON.parse(left), pid: 2 ** 22 }));
    expect(await stateOf("first/hc")).toBe("stopped");
    fs.rmSync(place.at("first", "hc", "lock"));
    fs.appendFileSync(place.at("first", "hc", "metrics.jsonl"), metricLine(41, { loss: "NaN" }));
    expect(await stateOf("first/hc")).toBe("diverged");
    writeRun(place.at("first", "hc"), { connection: "hc", done: 40 });
  });

  test("are not what other programs keep beside a config.json", async () => {
    const at = (...names: string[]): string => place.at("others", ...names);
    writeRun(at("run"), { done: 1 });
    const contents: Readonly<Record<string, string>> = {
      exported: JSON.stringify({ model_type: "llama", architectures: ["LlamaForCausalLM"], hidden_size: 8 }),
      empty: "{}",
      damaged: '{"config":',
      begun: JSON.stringify({ config: {}, versions: {} }),
    };
    for (const [name, content] of Object.entries(contents)) {
      fs.mkdirSync(at(name));
      fs.writeFileSync(at(name, "config.json"), content);
    }
    const found = (await cards(routes())).filter(({ group }) => group === "others");
    expect(found.map(({ name }) => name).sort()).toEqual(["begun", "damaged", "run"]);
    expect(findRuns([place.at("others")]).map((run) => path.basename(run))).toEqual(["begun", "damaged", "run"]);
    expect(() => findRuns([at("exported")])).toThrow(`There is no run in ${at("exported")}`);
    expect(() => openRunFolder(place.at("others"))).toThrow(
      `there are runs in ${place.at("others")}: begun, damaged, run`,
    );
    expect(() => openRunFolder(at("exported"))).toThrow("it holds no configuration of a run");
    fs.rmSync(at(), { recursive: true });
  });

  test("show what resumes have changed", async () => {
    writeRun(place.at("changed"), { done: 2 });
    const file = place.at("changed", "config.json");
    const description = JSON.parse(fs.readFileSync(file, "utf8")) as object;
    const changes = [{ step: 1, fields: [{ field: "steps", was: 50, is: 100 }] }];
    const shown = async (changes: unknown): Promise<readonly string[]> => {
      fs.writeFileSync(file, JSON.stringify({ ...description, changes }));
      return (await json<RunTexts>(routes(), `/api/texts${query("changed")}`)).changes;
    };
    expect(await shown(changes)).toEqual(["after step 1: steps from 50 to 100"]);
    expect(await shown("broken")).toEqual([]);
    fs.rmSync(place.at("changed"), { recursive: true });
  });

  test("keep the user's tags in their folder", async () => {
    const app = routes();
    expect((await post(app, "/api/tags", { run: "first/mhc", tags: ["keep", " deep "] })).status).toBe(200);
    expect(JSON.parse(fs.readFileSync(place.at("first", "mhc", "tags.json"), "utf8"))).toEqual({
      tags: ["keep", "deep"],
    });
    expect((await cards(app)).find(({ id }) => id === "first/mhc")?.tags).toEqual(["keep", "deep"]);
    expect((await post(app, "/api/tags", { run: "first/mhc", tags: ["x".repeat(41)] })).status).toBe(400);
    expect((await post(app, "/api/tags", { run: "../x", tags: [] })).status).toBe(404);
  });
});

describe("curves", () => {
  test("have the extremes and the ends of every length", async () => {
    writeRun(place.at("long"), { steps: 10_000, done: 9000 });
    fs.appendFileSync(place.at("long", "metrics.jsonl"), metricLine(9001, { loss: 77 }));
    for (let step = 9002; step <= 10_000; step += 1)
      fs.appendFileSync(place.at("long", "metrics.jsonl"), metricLine(step));
    const { series, cursor, clock } = await json<Curves>(routes(), `/api/curves${query("long", "&points=500")}`);
    const { step, value, mean } = series.loss;
    expect(step.length).toBeLessThanOrEqual(500);
    expect([step[0], step.at(-1)]).toEqual([1, 10_000]);
    expect(value[step.indexOf(9001)]).toBe(77);
    expect(step).toEqual([...step].sort((a, b) => a - b));
    expect(mean!.value.length).toBeLessThan(value.length);
    expect(cursor).toBe(
      `${fs.statSync(place.at("long", "metrics.jsonl")).size}-${fs.statSync(place.at("long", "gains.jsonl")).size}`,
    );
    expect(clock.value.at(-1)).toBe(5000);
    expect(series.backwardGain.value.at(-1)).toBe(9002);
  });

  test("of a range of steps have finer points, up to every one", async () => {
    const app = routes();
    const shown = async (rest: string): Promise<Curves> => json(app, `/api/curves${query("long", rest)}`);
    const { series } = await shown("&points=500&from=4001&to=4400");
    expect(series.loss.step).toEqual(Array.from({ length: 400 }, (_, index) => 4001 + index));
    expect(series.loss.mean).toBeUndefined();
    expect(series.backwardGain.step).toEqual(Array.from({ length: 40 }, (_, index) => 4010 + 10 * index));
    const wide = (await shown("&points=500&from=4001&to=9500")).series.loss;
    expect([wide.step[0], wide.step.at(-1), wide.step.length <= 500]).toEqual([4001, 9500, true]);
    expect(wide.value[wide.step.indexOf(9001)]).toBe(77);
    expect((await shown("&from=20000")).series.loss.step).toEqual([]);
    for (const rest of ["&from=9&to=8", "&from=x", "&to=NaN"])
      expect((await get(app, `/api/curves${query("long", rest)}`)).status, rest).toBe(400);
  });

  test("follow a file that grows, goes back and is replaced", async () => {
    const [app, file] = [routes(), place.at("grows", "metrics.jsonl")];
    writeRun(place.at("grows"), { done: 10 });
    const steps = async (): Promise<readonly number[]> =>
      (await json<Curves>(app, `/api/curves${query("grows")}`)).series.loss.step;
    expect(await steps()).toHaveLength(10);
    fs.appendFileSync(file, metricLine(11) + metricLine(12).slice(0, 9));
    expect((await steps()).at(-1)).toBe(11);
    fs.appendFileSync(file, metricLine(12).slice(9) + metricLine(8) + metricLine(9));
    expect(await steps()).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
    fs.writeFileSync(`${file}.new`, metricLine(1) + metricLine(2));
    fs.renameSync(`${file}.new`, file);
    expect(await steps()).toEqual([1, 2]);
  });
});

test("maps of gains, and the mixing matrices where they were recorded", async () => {
  writeRun(place.at("maps"), { done: 20 });
  const mixing = [
    [1, 0, 0, 1],
    [0.5, 0.5, 0.5, 0.5],
  ];
  fs.appendFileSync(place.at("maps", "gains.jsonl"), gainLine(30, { mixing, sublayers: [0, 3] }));
  const app = routes();
  const maps = await json<GainMaps>(app, `/api/gains${query("maps")}`);
  expect(maps).toMatchObject({ step: [10, 20, 30], sublayers: [0, 3], mixingSteps: [30] });
  expect(maps.maps.compositeBackward).toEqual([
    [12, 1],
    [22, 1],
    [32, 1],
  ]);
  expect(await json<Mixing>(app, `/api/mixing${query("maps", "&step=30")}`)).toEqual({
    step: 30,
    sublayers: [0, 3],
    mixing,
  });
  expect((await get(app, `/api/mixing${query("maps", "&step=20")}`)).status).toBe(404);
  for (const [rest, given] of [
    ["", "step is missing"],
    ["&step=last", 'step is "last"'],
    ["&step=-1", 'step is "-1"'],
  ] as const) {
    const refused = await get(app, `/api/mixing${query("maps", rest)}`);
    expect(refused.status, rest).toBe(400);
    expect(await refused.json()).toEqual({
      error: `${given}; it must be the number of a step. /api/gains lists the steps of a run as mixingSteps.`,
    });
  }
});

test("matrices of a run that an older version began and this one goes on with", async () => {
  writeRun(place.at("both"), { done: 0 });
  const [old, now] = [
    [
      [1, 0, 0, 1],
      [1, 0, 0, 1],
    ],
    [
      [0.5, 0.5, 0.5, 0.5],
      [1, 0, 0, "NaN"],
    ],
  ];
  const [gains, mixing] = ["gains.jsonl", "mixing.jsonl"].map((name) => place.at("both", name)) as [string, string];
  fs.writeFileSync(gains, gainLine(10, { mixing: old }) + gainLine(20));
  fs.writeFileSync(mixing, `${JSON.stringify({ step: 20, sublayers: [1, 3], mixing: now })}\n`);
  const app = routes();
  const steps = async (): Promise<unknown> => (await json<GainMaps>(app, `/api/gains${query("both")}`)).mixingSteps;
  expect(await steps()).toEqual([10, 20]);
  expect((await json<Mixing>(app, `/api/mixing${query("both", "&step=10")}`)).mixing).toEqual(old);
  expect(await json<Mixing>(app, `/api/mixing${query("both", "&step=20")}`)).toEqual({
    step: 20,
    sublayers: [1, 3],
    mixing: [now[0], [1, 0, 0, null]],
  });
  // It goes back to step 12: both files are written anew, one after the other.
  const replace = (file: string, text: string): void => {
    fs.writeFileSync(`${file}.new`, text);
    fs.renameSync(`${file}.new`, file);
  };
  replace(gains, gainLine(10, { mixing: old }));
  expect(await steps()).toEqual([10, 20]);
  replace(mixing, "");
  expect(await steps()).toEqual([10]);
});

test("curves have a gap where a value is not finite, and none where it was not recorded", async () => {
  const bad = (step: number): boolean => (step >= 21 && step <= 25) || step === 1500;
  writeRun(place.at("gaps"), { steps: 3000, done: 0 });
  const lines = Array.from({ length: 3000 }, (_, index) =>
    metricLine(index + 1, {
      ...(bad(index + 1) ? { loss: index % 2 ? "NaN" : "Infinity" } : {}),
      ...(index % 10 === 9 ? { validationLoss: index === 1999 ? "NaN" : 3 } : {}),
    }),
  );
  fs.writeFileSync(place.at("gaps", "metrics.jsonl"), lines.join(""));
  fs.writeFileSync(
    place.at("gaps", "gains.jsonl"),
    gainLine(10) + gainLine(20, { composite: { forward: [1, "Infinity"], backward: ["NaN", 1] } }) + gainLine(30),
  );
  const near = await json<Curves>(routes(), `/api/curves${query("gaps", "&from=19&to=28")}`);
  const seen = near.series.loss.value.map((value) => (value === null ? "gap" : "point"));
  expect(near.series.loss.step).toEqual([19, 20, 21, 22, 23, 24, 25, 26, 27, 28]);
  expect(seen.join(" ")).toBe("point point gap gap gap gap gap point point point");
  expect(near.series.validationLoss.step).toEqual([20]);
  expect(near.series.forwardGain.value).toEqual([null]);
  const whole = await json<Curves>(routes(), `/api/curves${query("gaps", "&points=300")}`);
  const { step, value, mean } = whole.series.loss;
  expect(step.length).toBeLessThanOrEqual(300);
  expect(step.filter((_, index) => value[index] === null).map(bad)).toEqual([true, true]);
  expect(mean!.value).not.toContain(null);
  expect(whole.series.validationLoss.value.filter((each) => each === null)).toHaveLength(1);
  expect(whole.series.backwardGain).toEqual({ step: [10, 20, 30], value: [12, null, 32] });
});

test("samples, alarms and the configuration", async () => {
  writeRun(place.at("texts"));
  fs.writeFileSync(
    place.at("texts", "samples.txt"),
    'step 5, prompt "We"\n  We must\n  go\n\nstep 9, prompt "We"\n  We may\n\ntorn',
  );
  fs.writeFileSync(
    place.at("texts", "events.jsonl"),
    '{"step":3,"rule":"gain","message":"m","action":"continue"}\n{"step":\n',
  );
  const texts = await json<RunTexts>(routes(), `/api/texts${query("texts")}`);
  expect(texts.samples).toEqual([
    { step: 9, prompt: "We", text: " may" },
    { step: 5, prompt: "We", text: " must\ngo" },
  ]);
  expect(texts.events).toEqual([{ step: 3, rule: "gain", message: "m", action: "continue" }]);
  expect(texts.config).toMatchObject({ "model.connection.kind": "mhc", batch: "16" });
});

describe("nothing outside the root is read", () => {
  const names = (): string[] => [
    "..",
    "../",
    `../${path.basename(outside.root)}/secret`,
    `first/../../${path.basename(outside.root)}/secret`,
    outside.at("secret"),
    "first%2Fmhc",
    "..%2f..%2fetc",
    "first/mhc/",
    "first//mhc",
    "./first/mhc",
    "first\\mhc",
    "first/mhc\0",
    "",
    "/etc",
    "link",
    "inner-link",
  ];

  test("by no name that is not a run's", async () => {
    fs.symlinkSync(outside.at("secret"), place.at("link"));
    fs.symlinkSync(place.at("first", "mhc"), place.at("inner-link"));
    const app = routes();
    for (const name of names()) {
      for (const route of ["curves", "gains", "texts", "mixing"]) {
        expect((await get(app, `/api/${route}${query(name)}`)).status, `${route} ${name}`).toBe(404);
      }
      expect((await post(app, "/api/tags", { run: name, tags: ["x"] })).status).toBe(404);
    }
    for (const address of ["/../package.json", "/..%2fpackage.json", "/assets/..%2f..%2fmain.js", "//etc/passwd"]) {
      expect((await get(app, address)).status, address).toBe(404);
    }
    expect(fs.existsSync(outside.at("secret", "tags.json"))).toBe(false);
  });

  test("not through links in a run's folder, nor after a folder became a link", async () => {
    writeRun(place.at("hostile"), { done: 0 });
    for (const file of ["metrics.jsonl", "samples.txt"]) {
      fs.rmSync(place.at("hostile", file), { force: true });
      fs.symlinkSync(file === "samples.txt" ? "/etc/passwd" : outside.at("secret", file), place.at("hostile", file));
    }
    writeRun(place.at("swapped"));
    const app = routes();
    expect((await cards(app)).map(({ id }) => id)).toContain("swapped");
    const { series } = await json<Curves>(app, `/api/curves${query("hostile")}`);
    expect(series.loss.step).toEqual([]);
    expect((await json<RunTexts>(app, `/api/texts${query("hostile")}`)).samples).toEqual([]);
    fs.rmSync(place.at("swapped"), { recursive: true });
    fs.symlinkSync(outside.at("secret"), place.at("swapped"));
    expect((await get(app, `/api/curves${query("swapped")}`)).status).toBe(404);
  });
});

describe("who is answered", () => {
  const token = "a-token-of-some-length";

  test("only requests to this machine's own names", async () => {
    const app = routes();
    for (const host of ["localhost:7333", "127.0.0.1", "[::1]:7333", "LOCALHOST:1"]) {
      expect((await get(app, "/", { host })).status, host).toBe(200);
    }
    for (const host of [
      "evil.example",
      "evil.example:7333",
      "127.0.0.1.evil.example",
      "localhost@evil",
      "192.168.1.5",
    ]) {
      expect((await get(app, "/api/runs", { host })).status, host).toBe(403);
    }
    expect((await app.request("/api/runs", { headers: { host: "" } })).status).toBe(403);
    const everywhere = routes({ host: "0.0.0.0" });
    expect((await get(everywhere, "/", { host: "192.168.1.5:7333" })).status).toBe(200);
    expect((await get(everywhere, "/", { host: "evil.example" })).status).toBe(403);
  });

  test("with a token nothing without it, and the cookie is kept from scripts and other sites", async () => {
    const app = routes({ token });
    for (const address of ["/", "/api/runs", `/api/curves${query("first/mhc")}`, "/api/live", "/nothing"]) {
      expect((await get(app, address)).status, address).toBe(401);
      expect((await get(app, address, { cookie: "birkhoff-token=wrong", authorization: "Bearer wrong" })).status).toBe(
        401,
      );
    }
    expect((await get(app, "/?token=wrong")).status).toBe(401);
    expect((await post(app, "/api/tags", { run: "first/mhc", tags: [] })).status).toBe(401);
    const opened = await get(app, `/?token=${token}`);
    expect(opened.status).toBe(200);
    const cookie = opened.headers.get("set-cookie")!;
    expect(cookie).toMatch(/HttpOnly/);
    expect(cookie).toMatch(/SameSite=Strict/);
    expect((await get(app, "/api/runs", { cookie: cookie.split(";")[0]! })).status).toBe(200);
    expect((await get(app, "/api/runs", { authorization: `Bearer ${token}` })).status).toBe(200);
  });

  test("changes only come from the page itself", async () => {
    const send = vi.fn();
    const app = routes({ control: { folders: [place.at("first", "mhc")], send } });
    const body = { action: "checkpoint" };
    for (const origin of ["http://evil.example", "null", "http://127.0.0.1:8000", ""]) {
      expect((await post(app, "/api/control", body, { origin })).status, origin).toBe(403);
    }
    expect(send).not.toHaveBeenCalled();
    expect((await post(app, "/api/control", body)).status).toBe(202);
    expect((await post(app, "/api/control", { action: "rm" })).status).toBe(400);
    expect((await post(app, "/api/control", { action: "stop", run: "first/mhc" })).status).toBe(202);
    expect((await post(app, "/api/control", { action: "stop", run: "first/hc" })).status).toBe(409);
    expect((await post(app, "/api/control", { action: "stop", run: 7 })).status).toBe(404);
    expect(send.mock.calls).toEqual([["checkpoint"], ["stop", place.at("first", "mhc")]]);
    expect((await post(routes(), "/api/control", body)).status).toBe(409);
    expect((await cards(app)).filter(({ controlled }) => controlled).map(({ id }) => id)).toEqual(["first/mhc"]);
  });

  test("no foreign script, style, frame or form is allowed", async () => {
    const { headers } = await get(routes(), "/");
    expect(headers.get("content-security-policy")).toMatch(/^default-src 'self';.*frame-ancestors 'none'/);
    expect(headers.get("x-content-type-options")).toBe("nosniff");
  });
});

test("hostile folders break nothing", async () => {
  const hostile = makeRoot();
  try {
    const name = "<img src=x onerror=alert(1)>";
    writeRun(hostile.at(name));
    fs.writeFileSync(
      hostile.at(name, "metrics.jsonl"),
      `{"step":1,"loss":1e999}\nnot json\n{"step":-1}\n{"step":2,"loss":"<b>"}\n{"step":1e300,"loss":1}\nnull\n[]\n${metricLine(3)}{"step":4,"lo`,
    );
    fs.writeFileSync(
      hostile.at(name, "gains.jsonl"),
      `{"step":1,"composite":{"forward":"x","backward":[null,"NaN",{}]}}\n{"step":2,"mixing":[1,[2]]}\n`,
    );
    fs.writeFileSync(hostile.at(name, "tags.json"), '{"tags":[1]}');
    for (const [folder, config] of Object.entries({
      empty: "",
      null: "null",
      list: "[]",
      other: '{"config":{"model":7,"steps":"x"}}',
      deep: `{"config":${'{"a":'.repeat(20_000)}1${"}".repeat(20_000)}}`,
      cut: '{"config":',
    })) {
      fs.mkdirSync(hostile.at(folder));
      fs.writeFileSync(hostile.at(folder, "config.json"), config);
    }
    fs.mkdirSync(hostile.at("folders", "config.json"), { recursive: true });
    fs.mkdirSync(hostile.at("folders", "metrics.jsonl"));
    writeRun(hostile.at("pipe"));
    fs.rmSync(hostile.at("pipe", "metrics.jsonl"));
    execFileSync("mkfifo", [hostile.at("pipe", "metrics.jsonl")]);
    const app = createRoutes({ root: hostile.root, host: "127.0.0.1", page });
    const found = await cards(app);
    expect(found.map(({ id }) => id).sort()).toEqual(
      [name, "cut", "deep", "empty", "folders", "list", "null", "other", "pipe"].sort(),
    );
    for (const { id } of found) {
      for (const route of ["curves", "gains", "texts"]) {
        expect((await get(app, `/api/${route}${query(id)}`)).status, `${route} ${id}`).toBe(200);
      }
    }
    const { series } = await json<Curves>(app, `/api/curves${query(name)}`);
    expect(series.loss).toEqual({ step: [1, 3], value: [null, expect.any(Number)] });
    expect((await get(app, `/api/mixing${query(name, "&step=2")}`)).status).toBe(404);
  } finally {
    hostile.remove();
  }
});

test("for Prometheus the ends of all records", async () => {
  const scraped = makeRoot();
  try {
    writeRun(scraped.at("run"), { done: 50 });
    fs.appendFileSync(
      scraped.at("run", "metrics.jsonl"),
      metricLine(51, { validationLoss: 3 }) + metricLine(52, { loss: "Infinity" }),
    );
    const metricsText = vi.fn((runs: readonly RunData[]) => JSON.stringify(runs.map(({ folder }) => folder)));
    const app = createRoutes({ root: scraped.root, host: "127.0.0.1", page, metricsText });
    const answer = await get(app, "/metrics");
    expect(answer.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
    expect(await answer.text()).toBe('["run"]');
    const [[run]] = metricsText.mock.lastCall as [RunData[]];
    expect(run!.metrics).toMatchObject([
      { step: 51, validationLoss: 3 },
      { step: 52, loss: Infinity },
    ]);
    expect(run!.gains).toMatchObject([{ step: 50 }]);
    fs.appendFileSync(scraped.at("run", "metrics.jsonl"), metricLine(53));
    await get(app, "/metrics");
    expect(metricsText.mock.lastCall![0][0]!.metrics.at(-1)).toMatchObject({ step: 53 });
    expect((await get(routes(), "/metrics")).status).toBe(404);
  } finally {
    scraped.remove();
  }
});

test("a root that is no folder, and one that is itself a run", async () => {
  expect(() => routes({ root: place.at("nowhere") })).toThrow(/Cannot read .*nowhere.*birkhoff serve FOLDER/);
  expect(() => routes({ root: place.at("first", "mhc", "config.json") })).toThrow(/is not a folder/);
  const app = routes({ root: place.at("first", "mhc") });
  expect((await cards(app)).map(({ id, name }) => [id, name])).toEqual([[".", "mhc"]]);
  expect((await get(app, `/api/curves${query(".")}`)).status).toBe(200);
});

// Training in a tab, in a real browser and (the session alone) in Node: what the page shows is what the library computes,
// a reload goes on, run folders go out and come in, and nothing needs a network after the first load.

import { execFileSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { unzipSync, zipSync } from "fflate";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { buildSite, type SiteServer, serveSite } from "../../bench/lib/site.ts";
import { connectionKinds, connectionSchema } from "../../src/connections/table.ts";
import type { Document } from "../../src/data/split.ts";
import { createWasmRuntime } from "../../src/runtime.ts";
import { decodeCheckpoint, encodeCheckpoint } from "../../src/training/checkpoint-files.ts";
import { choiceOf, configsOf, firstChoice, modelOf, queryOf, titleOf } from "../../web/site/src/train/choice.ts";
import { follow, gainOf, growingCurve } from "../../web/site/src/train/curves.ts";
import { kinds } from "../../web/site/src/train/kinds.ts";
import { hasProjection, openSession, prepare } from "../../web/site/src/train/session.ts";

const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
const missing = !fs.existsSync(executablePath);
if (missing)
  process.stderr.write(
    `The tests of training in a tab are skipped: no Chromium at ${executablePath} (CHROMIUM names another).\n`,
  );
const cli = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
const birkhoff = (...args: readonly string[]): string =>
  execFileSync(process.execPath, [cli, ...args], { encoding: "utf8" });

const words = "the union of many states and the people of every state ".split(" ");
const text = Array.from({ length: 6000 }, (_, at) => words[(at * at + 7 * (at % 13)) % words.length]).join(" ");
const documents: readonly Document[] = [{ name: "words", text }];
const tiny = { width: 16, layers: 2, heads: 2, kvHeads: 2, hidden: 32, context: 16 };
const small = (query: string) => {
  const texts = prepare(documents);
  const configs = configsOf(choiceOf(query), texts.tokenizer.vocabularySize);
  return { texts, configs: configs.map((config) => ({ ...config, batch: 2, model: { ...config.model, ...tiny } })) };
};

describe("a choice", () => {
  test("comes back from its link, and a link that is none gives the first choice", () => {
    const choice = choiceOf("models=mhc:2:cayley,hc:8&text=own&size=deep&seed=7&rate=0.01");
    expect(choice.models.map(({ kind, streams }) => [kind, streams])).toEqual([
      ["mhc", 2],
      ["hc", 8],
    ]);
    expect(choiceOf(queryOf(choice))).toEqual(choice);
    expect(choiceOf("text=moby-dick").text).toBe("moby-dick");
    const words = ["mhc:4:sinkhorn:maps=post", "mhc:4:cayley:at=attention", "mhc:8:sinkhorn:at=second:half"];
    const more = choiceOf(`models=${words.join(",")}&size=deep`);
    expect(more.models).toEqual([
      { kind: "mhc", streams: 4, map: "sinkhorn", maps: "post" },
      { kind: "mhc", streams: 4, map: "cayley", at: "attention" },
      { kind: "mhc", streams: 8, map: "sinkhorn", at: "second", half: true },
    ]);
    expect(choiceOf(queryOf(more))).toEqual(more);
    expect(configsOf(more, 300).map(modelOf)).toEqual(more.models);
    expect(more.models.map(titleOf)).toEqual([
      "mHC, n = 4, write only",
      "mHC, n = 4, cayley, attention",
      "mHC, n = 8, half mixed, the second half",
    ]);
    // What the library does not allow together is left out, and so is what it does not know.
    expect(
      choiceOf("models=mhc:4:sinkhorn:maps=post:half,hc:2:sinkhorn:half:at=first,mhc:2:sinkhorn:maps=x:at=y").models,
    ).toEqual([
      { kind: "mhc", streams: 4, map: "sinkhorn", maps: "post" },
      { kind: "hc", streams: 2, map: "sinkhorn" },
      { kind: "mhc", streams: 2, map: "sinkhorn" },
    ]);
    // Fractions are equal parts of the width: 64 has no third, 48 has.
    expect(["quick", "deep"].map((size) => choiceOf(`models=frac:3&size=${size}`).models[0]!.streams)).toEqual([4, 3]);
    expect(choiceOf("rate=1e-300").learningRate).toBe(firstChoice.learningRate);
    expect(choiceOf("models=mhc:1000,nothing&seed=-1&rate=x&size=huge&text=toString")).toEqual(firstChoice);
  });
});

describe("a curve of a long run", () => {
  test("has at most 400 points, each the mean of as many values, also the last one", () => {
    const values = Array.from({ length: 2021 }, (_, at) => Math.sin(at) + at / 100);
    const curve = growingCurve();
    for (const [at, value] of values.entries()) {
      curve.add(value);
      const drawn = curve.read();
      expect(drawn.values.length).toBeLessThanOrEqual(400);
      expect(drawn.values).toHaveLength(Math.ceil((at + 1) / drawn.every));
    }
    const { every, values: points } = curve.read();
    expect(every).toBe(8);
    for (const [at, point] of points.entries()) {
      const some = values.slice(every * at, every * (at + 1));
      expect(point).toBeCloseTo(some.reduce((a, b) => a + b) / some.length, 10);
    }
  });

  test("is drawn over the steps between the readings of its run", () => {
    const steps = follow(1);
    const instruments = {
      single: { forward: [1], backward: [1] },
      composite: { forward: [3], backward: [2] },
    } as never;
    for (let step = 1; step <= 40; step++) {
      const read = step === 1 || step % 8 === 0;
      const model = { loss: 1 / step, gradientNorm: 1, learningRate: 0.1, seconds: 1, ...(read && { instruments }) };
      steps.add({ step, seconds: 1, tokens: 1, models: [model] });
    }
    const { step, gainsEvery, gains, recent, losses } = steps.read();
    expect([step, gainsEvery, recent.length, losses[0]!.values.length]).toEqual([40, 8, 20, 40]);
    expect(gains[0]!.values).toEqual([3, 3, 3, 3, 3, 3]);
  });
});

describe("a session", () => {
  test("goes on bit by bit from what was kept of it, through the bytes of its files", async () => {
    const runtime = await createWasmRuntime({ threads: 1 });
    const { texts, configs } = small("models=residual,hc:2,mhc:2");
    const losses = async (session: ReturnType<typeof openSession>, steps: number): Promise<number[][]> => {
      const all: number[][] = [];
      for (let k = 0; k < steps; k++) all.push((await session.train(1)).models.map(({ loss }) => loss));
      return all;
    };
    const whole = openSession(runtime, configs, texts);
    const expected = await losses(whole, 6);
    const first = openSession(runtime, configs, texts);
    expect(await losses(first, 3)).toEqual(expected.slice(0, 3));
    const kept = await first.keep();
    const states = await Promise.all(kept.states.map(async (state) => decodeCheckpoint(await encodeCheckpoint(state))));
    const second = openSession(runtime, configs, texts, { ...kept, states });
    expect(second.step).toBe(3);
    expect(await losses(second, 3)).toEqual(expected.slice(3));
    runtime.close();
  });

  test("says of a text that makes too few tokens what to do on the page, not on a command line", async () => {
    const runtime = await createWasmRuntime({ threads: 1 });
    const texts = prepare([{ name: "text", text: " ".repeat(30_000) }]);
    const configs = configsOf(choiceOf("models=mhc:2&text=own"), texts.tokenizer.vocabularySize);
    expect(() => openSession(runtime, configs, texts)).toThrow(
      /^This text is too short, or repeats itself too much: a part of it makes \d tokens, and these models read 65 at a time\. Choose another text/,
    );
    runtime.close();
  });

  test("without its projection mHC goes on from about the same matrices, its gain leaves one, and comes back with it", async () => {
    const runtime = await createWasmRuntime({ threads: 1 });
    const { texts, configs } = small("models=mhc:4");
    const session = openSession(runtime, configs, texts);
    const gain = async (until: number): Promise<{ gain: number; rows: number[] }> => {
      while (session.step < until - 1) await session.train(1);
      const { composite, mixing } = (await session.train(1)).models[0]!.instruments!;
      const matrix = mixing![0]!;
      const rows = [0, 1, 2, 3].map((row) => matrix.slice(4 * row, 4 * row + 4).reduce((a, b) => a + b));
      return { gain: Math.max(...composite!.forward, ...composite!.backward), rows };
    };
    const before = await gain(20);
    for (const row of before.rows) expect(row).toBeCloseTo(1, 4);
    while (session.step < 29) await session.train(1);
    expect(await session.setProjection(0, true)).toBe(false);
    expect(await session.setProjection(0, false)).toBe(true);
    expect(session.free).toEqual([true]);
    const after = await gain(30);
    expect(Math.abs(after.gain - before.gain)).toBeLessThan(0.3);
    const later = await gain(80);
    expect(Math.abs(later.gain - 1)).toBeGreaterThan(2 * Math.abs(after.gain - 1));
    expect(later.rows.some((row) => Math.abs(row - 1) > 0.01)).toBe(true);
    expect(await session.setProjection(0, true)).toBe(true);
    expect([session.free, session.step]).toEqual([[false], 80]);
    const back = await gain(90);
    for (const row of back.rows) expect(row).toBeCloseTo(1, 4);
    expect(Math.abs(back.gain - 1)).toBeLessThan(0.1);
    runtime.close();
  });

  test.each(["res", "post-res", "all"])(
    "the projection is taken from all of H_res where %s is learned",
    async (maps) => {
      const runtime = await createWasmRuntime({ threads: 1 });
      const { texts, configs } = small("models=mhc:4");
      const [config] = configs.map((one) => ({
        ...one,
        model: { ...one.model, connection: connectionSchema.parse({ kind: "mhc", maps }) },
      }));
      const session = openSession(runtime, [config!], texts);
      await session.train(1);
      const biases = async (): Promise<number[][]> =>
        (await session.keep()).states[0]!.model.filter(({ name }) => name.endsWith(".connection.bias")).map(
          ({ data }) => [...data],
        );
      const before = await biases();
      expect(await session.setProjection(0, false)).toBe(true);
      const after = await biases();
      expect(after).toHaveLength(4);
      for (const [sublayer, bias] of after.entries()) {
        const at = bias.length - 16;
        expect(bias.slice(0, at)).toEqual(before[sublayer]!.slice(0, at));
        const lines = [0, 1, 2, 3].flatMap((i) => [
          bias.slice(at + 4 * i, at + 4 * i + 4),
          [0, 1, 2, 3].map((j) => bias[at + 4 * j + i]!),
        ]);
        for (const line of lines) expect(line.reduce((a, b) => a + b)).toBeCloseTo(1, 4);
      }
      runtime.close();
    },
  );

  test("where only some streams are mixed, no projection is taken away", () => {
    const { configs } = small("models=mhc:4");
    const mixing = (options: object) =>
      hasProjection({
        ...configs[0]!,
        model: { ...configs[0]!.model, connection: connectionSchema.parse({ kind: "mhc", ...options }) },
      });
    expect([{}, { active: 2 }, { maps: "pre-post" }, { residualMap: "cayley" }].map(mixing)).toEqual([
      true,
      false,
      false,
      false,
    ]);
  });

  test("trains every connection of the library, and only those that mix streams have gains", async () => {
    const runtime = await createWasmRuntime({ threads: 1 });
    for (const kind of connectionKinds) {
      const choice = choiceOf(`models=${kind}:2`);
      expect(choice.models.map((model) => model.kind)).toEqual([kind]);
      expect(choiceOf(queryOf(choice))).toEqual(choice);
      const { texts, configs } = small(queryOf(choice));
      expect(modelOf(configs[0]!)).toEqual(choice.models[0]);
      const session = openSession(runtime, configs, texts);
      const news = await session.train(1);
      expect(news.models[0]!.loss).toBeLessThan(10);
      expect([kind, gainOf(news, 0) !== undefined]).toEqual([kind, kinds[kind].mixes]);
      session.close();
    }
    runtime.close();
  });
});

describe.skipIf(missing)("training in a tab", () => {
  let browser: Browser;
  let context: BrowserContext;
  let page: Page;
  let server: SiteServer;
  let folder: string;
  const problems: string[] = [];
  const at = (...parts: readonly string[]): string => path.join(folder, ...parts);
  beforeAll(async () => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), "birkhoff-train-"));
    await buildSite(at("site"));
    server = await serveSite(at("site"));
    browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
    context = await browser.newContext({ viewport: { width: 390, height: 844 }, acceptDownloads: true });
    page = await context.newPage();
    page.on("pageerror", (error) => problems.push(error.message));
  });
  afterAll(async () => {
    await browser.close();
    fs.rmSync(folder, { recursive: true });
    expect(problems).toEqual([]);
  });
  const step = async (): Promise<number> => Number((await page.getByTestId("step").textContent())!.replace(",", ""));
  const button = (name: string) => page.getByRole("button", { name, exact: true });
  const fits = () => page.evaluate(() => document.documentElement.scrollWidth);
  const unpack = (zip: string, into: string): void => {
    for (const [name, bytes] of Object.entries(unzipSync(fs.readFileSync(zip)))) {
      fs.mkdirSync(path.dirname(at(into, name)), { recursive: true });
      fs.writeFileSync(at(into, name), bytes);
    }
  };

  test("trains without a network, pauses, and goes on after a reload with the losses of the library", async () => {
    await page.goto(`${server.url}train.html?models=hc:2,mhc:4&runtime=wasm&seed=3`);
    await button("Train").waitFor();
    expect(await page.evaluate(() => crossOriginIsolated)).toBe(true);
    expect(await fits()).toBe(390);
    await server.close();
    await context.setOffline(true);
    await button("Train").focus();
    await page.keyboard.press("Enter");
    await expect
      .poll(async () => ((await page.getByTestId("step").count()) > 0 ? step() : 0), { timeout: 60_000 })
      .toBeGreaterThan(1);
    await button("Pause").click();
    await button("Go on").waitFor();
    expect(await page.getByTestId("kept").textContent()).toBe(`kept at ${await step()}`);
    expect(await fits()).toBe(390);
    const before = await step();
    await page.reload();
    await button("Go on with it").click();
    await page.getByTestId("step").waitFor();
    expect(await step()).toBe(before);
    await button("One step").click();
    await expect.poll(step).toBe(before + 1);

    const texts = prepare(JSON.parse(fs.readFileSync(at("site/texts/sotu.json"), "utf8")) as Document[]);
    const runtime = await createWasmRuntime({ threads: 1 });
    const configs = configsOf(choiceOf("models=hc:2,mhc:4&seed=3"), texts.tokenizer.vocabularySize);
    const session = openSession(runtime, configs, texts);
    const losses: number[][] = [];
    while (session.step <= before) losses.push((await session.train(1)).models.map(({ loss }) => loss));
    runtime.close();
    for (const index of [0, 1]) {
      const last = losses.slice(-20).map((each) => each[index]!);
      const shown = Number(await page.getByTestId(`loss-${index}`).textContent());
      expect(shown).toBeCloseTo(last.reduce((a, b) => a + b) / last.length, 2);
    }
  }, 180_000);

  test("a run folder goes out to birkhoff inspect and comes in again, also one that the command line made", async () => {
    const download = page.waitForEvent("download");
    await button("Download").click();
    await (await download).saveAs(at("runs.zip"));
    unpack(at("runs.zip"), "runs");
    expect(fs.readdirSync(at("runs")).sort()).toEqual(["hc-2", "mhc-4-sinkhorn"]);
    const seen = birkhoff("inspect", at("runs/mhc-4-sinkhorn"));
    expect(seen).toContain("mhc");
    const trained = await step();

    await page.reload();
    await page.getByLabel("open a run folder").setInputFiles(at("runs.zip"));
    await page.getByTestId("step").waitFor();
    expect(await step()).toBe(trained);
    expect(await page.locator("main").textContent()).toContain("HC, n = 2");

    fs.writeFileSync(at("words.txt"), text);
    const sizes = Object.entries(tiny).flatMap(([name, value]) => ["--set", `model.${name}=${value}`]);
    const args = ["--data", at("words.txt"), "--connection", "mhc", "--steps", "3", "--batch", "2", "--threads", "1"];
    birkhoff("train", ...args, ...sizes, "--out", at("node"), "--runtime", "wasm");
    const files: Record<string, Uint8Array> = {};
    for (const name of fs.readdirSync(at("node"), { recursive: true, encoding: "utf8" }))
      if (fs.statSync(at("node", name)).isFile()) files[`node/${name}`] = fs.readFileSync(at("node", name));
    fs.writeFileSync(at("node.zip"), zipSync(files));
    await button("Choose again").click();
    await page.getByLabel("open a run folder").setInputFiles(at("node.zip"));
    await expect.poll(async () => ((await page.getByTestId("step").count()) > 0 ? step() : 0)).toBe(3);
    await button("One step").click();
    await expect.poll(step).toBe(4);
    expect(await page.locator(".failure").count()).toBe(0);
  }, 180_000);

  test("a pause holds while the models write, and a projection that is off stays off after a reload", async () => {
    await page.goto(`${server.url}train.html?models=mhc:2&text=moby-dick&runtime=wasm`);
    await button("Train").click();
    await expect
      .poll(async () => ((await page.getByTestId("step").count()) > 0 ? step() : 0), { timeout: 60_000 })
      .toBeGreaterThan(0);
    await button("Let them write").click();
    await button("Pause").click();
    await button("Go on").waitFor();
    await page.getByTestId("sample-0").waitFor();
    expect(await page.getByTestId("sample-0").textContent()).toMatch(/^Call me Ishmael\./);
    const before = await step();
    await page.waitForTimeout(1000);
    expect(await step()).toBe(before);

    await button("Turn projection off").click();
    await button("Turn projection on").waitFor();
    const marks = () => page.getByLabel("Composite gain by step").locator("text.mark").allTextContents();
    await expect.poll(marks).toEqual(["projection off"]);
    await page.reload();
    await button("Go on with it").click();
    await button("Turn projection on").click();
    await button("Turn projection off").waitFor();
    await expect.poll(marks).toEqual(["projection off", "projection on"]);
    expect(await step()).toBe(before);
  }, 120_000);

  test("a tab that is closed in mid-run loses nothing: another goes on from what was kept, with the same losses", async () => {
    const seen: number[] = [];
    const other = await context.newPage();
    await other.goto(`${server.url}train.html?models=residual&runtime=wasm&seed=5`);
    await other.getByRole("button", { name: "Train", exact: true }).click();
    await other.getByTestId("kept").filter({ hasText: /[1-9]/ }).waitFor({ timeout: 60_000 });
    await other.close();
    await page.goto(`${server.url}train.html?runtime=wasm`);
    await button("Go on with it").click();
    await page.getByTestId("loss-0").waitFor();
    const kept = await step();
    expect(kept).toBeGreaterThan(0);
    const texts = prepare(JSON.parse(fs.readFileSync(at("site/texts/sotu.json"), "utf8")) as Document[]);
    const runtime = await createWasmRuntime({ threads: 1 });
    const configs = configsOf(choiceOf("models=residual&seed=5"), texts.tokenizer.vocabularySize);
    const session = openSession(runtime, configs, texts);
    while (session.step < kept) seen.push((await session.train(1)).models[0]!.loss);
    runtime.close();
    const last = seen.slice(-20);
    const mean = last.reduce((a, b) => a + b) / last.length;
    expect(Number(await page.getByTestId("loss-0").textContent())).toBeCloseTo(mean, 2);
  }, 120_000);

  test("a link's number of streams is shown, also one that the page does not offer; a long text is not", async () => {
    const other = await browser.newPage();
    const host = await serveSite(at("site"));
    await other.goto(`${host.url}train.html?models=mhc:5,hc:16,mhc:2`);
    const chosen = other.getByLabel("streams");
    await chosen.nth(2).waitFor();
    expect(await chosen.evaluateAll((all) => all.map((one) => (one as HTMLSelectElement).value))).toEqual([
      "5",
      "16",
      "2",
    ]);

    // A long text is taken, and not put into a field, which would hold the page up.
    await other.getByLabel("a text of your own").check();
    const field = other.getByLabel("Your text", { exact: true });
    await field.waitFor();
    const file = { name: "long.txt", mimeType: "text/plain", buffer: Buffer.from("a long text; ".repeat(100_000)) };
    await other.getByLabel("Open a text file").setInputFiles(file);
    await other.getByText("1,300,000 characters").waitFor();
    expect(await field.count()).toBe(0);
    expect(await other.getByRole("button", { name: "Train", exact: true }).isEnabled()).toBe(true);
    await other.getByRole("button", { name: "Take another text" }).click();
    await field.waitFor();
    await other.close();
    await host.close();
  }, 60_000);

  test("a session.json that holds no session is as if there were none", async () => {
    const host = await serveSite(at("site"));
    const other = await browser.newPage();
    const failures: string[] = [];
    other.on("pageerror", (error) => failures.push(error.message));
    await other.goto(`${host.url}train.html`);
    for (const content of [
      "{}",
      "[1]",
      '{ "step": 3, "files": [{}], "choice": { "models": [{ "kind": "nothing" }] } }',
      '{ "step": 3, "files": [{}], "free": [false], "choice": { "models": [{ "kind": "mhc" }], "size": "huge" } }',
    ]) {
      await other.evaluate(async (written) => {
        const root = await navigator.storage.getDirectory();
        const kept = await root.getDirectoryHandle("birkhoff-playground", { create: true });
        const file = await (await kept.getFileHandle("session.json", { create: true })).createWritable();
        await file.write(written);
        await file.close();
      }, content);
      await other.reload();
      await other.getByRole("button", { name: "Train", exact: true }).waitFor();
      await other.waitForTimeout(300);
      expect(await other.getByRole("button", { name: "Go on with it" }).count()).toBe(0);
    }
    expect(failures).toEqual([]);

    // Of one whose files are gone it is said.
    await other.evaluate(async () => {
      const root = await navigator.storage.getDirectory();
      const kept = await root.getDirectoryHandle("birkhoff-playground");
      const file = await (await kept.getFileHandle("session.json", { create: true })).createWritable();
      const choice = { models: [{ kind: "mhc", streams: 2, map: "sinkhorn" }], text: "sotu", size: "quick", seed: 1 };
      await file.write(JSON.stringify({ step: 3, own: "", files: [{}], free: [false], news: "gone.json", choice }));
      await file.close();
    });
    await other.reload();
    await other.getByRole("button", { name: "Go on with it" }).click();
    await other
      .getByRole("alert")
      .filter({ hasText: /The session that is kept here cannot be read \(.*\)\. Press Train/ })
      .waitFor();
    await other.close();
    await host.close();
  }, 60_000);

  test("a host that lacks a file gets no service worker, and the page is there all the same", async () => {
    fs.cpSync(at("site"), at("partial"), { recursive: true });
    fs.rmSync(at("partial/texts"), { recursive: true });
    const partial = await serveSite(at("partial"));
    const other = await browser.newPage();
    await other.goto(`${partial.url}train.html`);
    await other.getByRole("button", { name: "Train", exact: true }).waitFor();
    expect(await other.evaluate(() => document.documentElement.dataset["offline"])).toBeUndefined();
    await other.close();
    await partial.close();
  }, 60_000);

  test("trains by WebGPU with the losses of the library within 1e-3", async () => {
    const flags = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-unsafe-swiftshader"];
    const host = await serveSite(at("site"));
    const withGpu = await chromium.launch({ executablePath, args: ["--no-sandbox", ...flags] });
    const other = await withGpu.newPage();
    await other.goto(`${host.url}train.html?models=residual&runtime=webgpu`);
    await other.getByRole("button", { name: "Train", exact: true }).click();
    await other.getByTestId("step").filter({ hasText: /[1-9]/ }).waitFor({ timeout: 100_000 });
    await other.getByRole("button", { name: "Pause", exact: true }).click();
    await other.getByRole("button", { name: "Go on", exact: true }).waitFor({ timeout: 30_000 });
    const taken = Number(await other.getByTestId("step").textContent());
    const shown = Number(await other.getByTestId("loss-0").textContent());
    expect(await other.locator(".bar p").textContent()).toContain("WebGPU");
    await withGpu.close();
    await host.close();

    const texts = prepare(JSON.parse(fs.readFileSync(at("site/texts/sotu.json"), "utf8")) as Document[]);
    const runtime = await createWasmRuntime({ threads: 1 });
    const session = openSession(runtime, configsOf(choiceOf("models=residual"), texts.tokenizer.vocabularySize), texts);
    const losses: number[] = [];
    while (session.step < taken) losses.push((await session.train(1)).models[0]!.loss);
    runtime.close();
    const last = losses.slice(-20);
    expect(Math.abs(shown - last.reduce((a, b) => a + b) / last.length)).toBeLessThan(1e-3);
  }, 180_000);
});

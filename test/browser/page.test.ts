// examples/browser, built with Vite, trains in Chromium with the losses of Node: bit by bit on WebAssembly with one
// thread and with several, in a worker and in the page itself, and nearly so on WebGPU. Needs Chromium (CHROMIUM names
// it) and the built library.

import fs from "node:fs";
import path from "node:path";
import { gzipSync } from "node:zlib";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { train } from "../../examples/browser/src/train.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import { buildExample, executablePath, missing, serveFolder } from "./pages.ts";

if (missing) process.stderr.write(`Training in a page is not tested: ${missing}.\n`);

const sizes = { steps: 4, context: 32, batch: 4, layers: 4, tokens: 30 } as const;
/** A processor that plays the part of a GPU takes a second for each of these layers to be compiled, and more to write. */
const smaller = { ...sizes, steps: 3, batch: 2, layers: 2, tokens: 0 } as const;
type Sizes = { readonly [Name in keyof typeof sizes]: number };
const queryOf = (wanted: Sizes): string =>
  new URLSearchParams(Object.entries(wanted).map(([name, value]) => [name, String(value)])).toString();

/** What a training told. */
interface Trained {
  readonly losses: readonly number[];
  readonly sample: string;
  readonly status: string;
}

/** How a training is looked at. */
interface Watched {
  readonly wanted?: Sizes;
  /** Before the button is pressed. */
  readonly watch?: (page: Page) => Promise<void>;
}

async function trainInNode(wanted: Sizes): Promise<Pick<Trained, "losses" | "sample">> {
  const text = fs.readFileSync(new URL("../../examples/browser/src/text.txt", import.meta.url), "utf8");
  const runtime = await createWasmRuntime({ threads: 1 });
  const losses: number[] = [];
  let sample = "";
  for await (const news of train(runtime, { text, ...wanted })) {
    if ("loss" in news) losses.push(news.loss);
    else ({ sample } = news);
  }
  runtime.close();
  return { losses, sample };
}

describe.skipIf(missing)("the page of examples/browser", { timeout: 120_000 }, () => {
  let browser: Browser;
  let built: Awaited<ReturnType<typeof buildExample>>;
  let node: Awaited<ReturnType<typeof trainInNode>>;
  const servers: Awaited<ReturnType<typeof serveFolder>>[] = [];
  beforeAll(async () => {
    [built, node, browser] = await Promise.all([
      buildExample(),
      trainInNode(sizes),
      chromium.launch({
        executablePath,
        args: [
          "--no-sandbox",
          "--enable-unsafe-webgpu",
          "--use-webgpu-adapter=swiftshader",
          "--enable-unsafe-swiftshader",
        ],
      }),
    ]);
    servers.push(await serveFolder(built.dist, false), await serveFolder(built.dist, true));
  }, 120_000);
  afterAll(async () => {
    await browser?.close();
    for (const server of servers) server.close();
    if (built) fs.rmSync(built.folder, { recursive: true });
  });

  /** Open the page with a query, press Train, wait until it is done. */
  async function trained(wishes: string, isolated: boolean, { wanted = sizes, watch }: Watched = {}): Promise<Trained> {
    const page = await browser.newPage();
    const problems: string[] = [];
    page.on("pageerror", (error) => problems.push(error.message));
    page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
    await page.goto(`${servers[isolated ? 1 : 0]!.url}?${queryOf(wanted)}&${wishes}`);
    expect(await page.evaluate(() => globalThis.crossOriginIsolated)).toBe(isolated);
    await watch?.(page);
    await page.getByRole("button", { name: "Train" }).click();
    await page.waitForFunction(() => document.body.dataset["losses"], undefined, { timeout: 110_000 });
    const losses = JSON.parse(await page.evaluate(() => document.body.dataset["losses"] ?? "[]")) as number[];
    const sample = (await page.locator("#sample").textContent()) ?? "";
    const status = (await page.getByRole("status").textContent()) ?? "";
    expect(problems).toEqual([]);
    await page.close();
    return { losses, sample, status };
  }

  test("falls in Node, with which the others are compared", () => {
    expect(node.losses).toHaveLength(sizes.steps);
    expect(node.losses.at(-1)).toBeLessThan(node.losses[0]! - 0.1);
    expect(node.sample).toMatch(/^Fellow-Citizens of t/);
  });

  test.each([
    ["in a worker, on one thread", "runtime=wasm", false, "threads: 1"],
    ["in a worker, on three threads where the page is isolated", "runtime=wasm&threads=3", true, "threads: 3"],
    ["from the page itself, on one thread", "runtime=wasm&in=page", false, "threads: 1"],
    ["from the page itself, on two threads", "runtime=wasm&in=page&threads=2", true, "threads: 2"],
  ])("trains %s with the bits of Node", async (_, wishes, isolated, device) => {
    const { losses, sample, status } = await trained(wishes, isolated);
    expect(status).toContain("WebAssembly (relaxed");
    expect(status).toContain(device);
    expect(losses).toEqual(node.losses);
    expect(sample).toBe(node.sample);
  });

  test("does not freeze while it trains by itself, on one thread or on two", async () => {
    // A page that computed itself would be busy for the whole of each step.
    const wanted = { ...sizes, steps: 12, batch: 16, context: 64, tokens: 0 };
    for (const [wishes, isolated] of [
      ["", false],
      ["&threads=2", true],
    ] as const) {
      // What tasks of the page's main thread take at most, from look to look, once it trains.
      const taken: number[] = [];
      const watch = async (page: Page): Promise<void> => {
        await page.exposeFunction("tellTaken", (milliseconds: number) => void taken.push(milliseconds));
        await page.evaluate(() => {
          let before = Number.NaN;
          const tell = (globalThis as unknown as { tellTaken(milliseconds: number): void }).tellTaken;
          setInterval(() => {
            const now = performance.now();
            const trains = document.querySelector("[role=status]")?.textContent?.startsWith("Step");
            if (trains && before > 0) tell(now - before);
            before = trains ? now : Number.NaN;
          }, 4);
        });
      };
      const { losses, status } = await trained(`runtime=wasm&in=page${wishes}`, isolated, {
        wanted,
        watch,
      });
      expect(losses).toHaveLength(wanted.steps);
      expect(taken.length).toBeGreaterThan(0);
      // On a busy machine both are longer, and now and then the page has no core for a while.
      const half = (1000 * Number(/([\d.]+) s,/.exec(status)?.[1])) / wanted.steps / 2;
      expect(taken.filter((milliseconds) => milliseconds > half).length).toBeLessThan(wanted.steps / 2);
    }
  });

  test("trains on WebGPU with the losses of Node within 1e-4", async () => {
    const expected = await trainInNode(smaller);
    const { losses, status } = await trained("runtime=webgpu", false, { wanted: smaller });
    expect(status).toContain("webgpu (webgpu swiftshader)");
    expect(losses).toHaveLength(smaller.steps);
    for (const [at, loss] of losses.entries()) expect(Math.abs(loss - expected.losses[at]!)).toBeLessThan(1e-4);
  });

  test("says how a page gets threads where it has none", async () => {
    const { losses, status } = await trained("runtime=wasm&threads=4", false);
    expect(losses).toEqual([]);
    expect(status).toMatch(
      /^createWasmRuntime: threads is 4; it can only be 1\. This page is not cross-origin isolated, .*Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp, or leave threads out\.$/,
    );
  });

  test("its bundle is as small as docs/browser.md says", () => {
    const kilobytes = (pattern: string): number => {
      const [file = ""] = fs.globSync(pattern, { cwd: built.dist });
      return gzipSync(fs.readFileSync(path.join(built.dist, file)), { level: 9 }).length / 1000;
    };
    const page = fs.readFileSync(new URL("../../docs/browser.md", import.meta.url), "utf8");
    const [, script, thread, kernels] =
      /is (\d+) kB of gzip; each thread loads (\d+) kB more, and the kernels are (\d+) kB/.exec(page) ?? [];
    for (const [pattern, said] of [
      ["assets/index-*.js", script],
      ["assets/thread-*.js", thread],
      ["assets/relaxed-*.wasm", kernels],
    ] as const) {
      const measured = kilobytes(pattern);
      expect(Math.abs(measured - Number(said)), `${pattern} has ${measured} kB, not ${said}`).toBeLessThan(
        0.1 * measured,
      );
    }
  });

  test("its bundle has nothing of Node", () => {
    const scripts = fs.globSync("assets/*.js", { cwd: built.dist });
    expect(scripts.length).toBeGreaterThanOrEqual(4);
    for (const script of scripts) {
      const text = fs.readFileSync(path.join(built.dist, script), "utf8");
      expect(text.match(/.{0,40}["'`]node:\w.{0,20}/g) ?? [], script).toEqual([]);
      expect(
        text.match(/.{0,40}(worker_threads|__vite-browser-external|getBuiltinModule).{0,20}/g) ?? [],
        script,
      ).toEqual([]);
    }
  });
});

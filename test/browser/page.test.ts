// examples/browser, built with Vite, trains in Chromium with the losses of Node: bit by bit on WebAssembly with one
// thread and with several, in a worker and in the page itself, and nearly so on WebGPU. Needs Chromium (CHROMIUM names
// it) and the built library.

import fs from "node:fs";
import path from "node:path";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { train } from "../../examples/browser/src/train.ts";
import { createWasmRuntime } from "../../src/runtime/wasm/node/runtime.ts";
import { buildExample, executablePath, missing, serveFolder } from "./pages.ts";

if (missing) process.stderr.write(`Training in a page is not tested: ${missing}.\n`);

const sizes = { steps: 4, context: 32, batch: 4 } as const;
const query = new URLSearchParams(Object.entries(sizes).map(([name, value]) => [name, String(value)])).toString();

/** What a training told. */
interface Trained {
  readonly losses: readonly number[];
  readonly sample: string;
  readonly status: string;
}

async function trainInNode(): Promise<Pick<Trained, "losses" | "sample">> {
  const text = fs.readFileSync(new URL("../../examples/browser/src/text.txt", import.meta.url), "utf8");
  const runtime = await createWasmRuntime({ threads: 1 });
  const losses: number[] = [];
  let sample = "";
  for await (const news of train(runtime, { text, ...sizes })) {
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
      trainInNode(),
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
  async function trained(wishes: string, isolated: boolean, watch?: (page: Page) => Promise<void>): Promise<Trained> {
    const page = await browser.newPage();
    const problems: string[] = [];
    page.on("pageerror", (error) => problems.push(error.message));
    page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
    await page.goto(`${servers[isolated ? 1 : 0]!.url}?${query}&${wishes}`);
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

  test("says how a page gets threads where it has none", async () => {
    const { losses, status } = await trained("runtime=wasm&threads=4", false);
    expect(losses).toEqual([]);
    expect(status).toMatch(
      /^createWasmRuntime: threads is 4; it can only be 1\. This page is not cross-origin isolated, .*Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp, or leave threads out\.$/,
    );
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

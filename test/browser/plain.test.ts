// Without a bundler: a page loads the built library from a static host, and computes in workers without waiting for
// them. Whatever is asked comes in order, and what goes wrong in a worker is told by the next read.

import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { executablePath, missing, serveFolder } from "./pages.ts";

if (missing) process.stderr.write(`A page without a bundler is not tested: ${missing}.\n`);

const root = fileURLToPath(new URL("../../", import.meta.url));
const html = `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,">
<script type="importmap">{"imports": {"birkhoff/browser": "./birkhoff/browser.js", "zod": "./zod/index.js"}}</script>
<script type="module">
  import { gather, input, openRuntime, parameter, persistent, scale, sum } from "birkhoff/browser";
  const attempt = async (what) => {
    try {
      return await what();
    } catch (error) {
      return error.name + ": " + error.message;
    }
  };
  globalThis.compute = async () => {
    const runtime = await openRuntime({ runtime: "wasm" });
    const [ids, table, seen] = [input("ids", [4], "i32"), parameter("table", [5, 1]), persistent("seen", [4, 1])];
    const y = gather(table, ids);
    const program = runtime.compile({ outputs: { y }, updates: [[seen, y]] });
    const other = runtime.compile({ outputs: { s: sum(table) } });
    const read = async () => (await program.read("y")).join();
    runtime.write(table, [1, 2, 3, 4, 5]);
    const told = { notRun: await attempt(read) };
    runtime.write(ids, [0, 1, 2, 9]);
    program.run();
    told.index = await attempt(read);
    told.afterIndex = await attempt(read);
    runtime.write(ids, [0, 1, 2, 4]);
    program.run();
    const asked = read();
    runtime.write(table, [0, 0, 0, 0, 0]);
    told.asked = await asked;
    told.written = (await runtime.read(table)).join();
    told.updated = (await runtime.read(seen)).join();
    other.run();
    told.otherRan = await attempt(read);
    told.tooLarge = await attempt(() => runtime.compile({ outputs: { z: scale(parameter("huge", [70000, 20000]), 2) } }));
    told.threads = runtime.device.threads;
    program.release();
    told.released = await attempt(() => program.run());
    runtime.close();
    told.closed = await attempt(() => runtime.read(ids));
    // A processor that plays the part of a GPU is not taken.
    const fastest = await openRuntime();
    told.fastest = fastest.name;
    fastest.close();
    return told;
  };
</script>`;

describe.skipIf(missing)("a page without a bundler", { timeout: 60_000 }, () => {
  let browser: Browser;
  let folder: string;
  beforeAll(async () => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), "birkhoff-plain-"));
    fs.writeFileSync(path.join(folder, "index.html"), html);
    fs.symlinkSync(path.join(root, "dist"), path.join(folder, "birkhoff"));
    fs.symlinkSync(fs.realpathSync(path.join(root, "node_modules/zod")), path.join(folder, "zod"));
    browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  });
  afterAll(async () => {
    await browser?.close();
    if (folder) fs.rmSync(folder, { recursive: true });
  });

  const computed = async (page: Page): Promise<Record<string, unknown>> => {
    await page.waitForFunction(() => "compute" in globalThis);
    return await page.evaluate(() =>
      (globalThis as unknown as { compute(): Promise<Record<string, unknown>> }).compute(),
    );
  };

  test.each([false, true])("computes, in order, and tells what goes wrong; isolated: %s", async (isolated) => {
    const server = await serveFolder(folder, isolated);
    const page = await browser.newPage();
    await page.goto(server.url);
    const { threads, ...told } = await computed(page);
    const notRun = expect.stringMatching(/^Error: read: "y" is not there: run the program first/) as string;
    expect(told).toEqual({
      notRun,
      index:
        "RangeError: gather: index 9 at position 3; allowed are 0 to 4; check the token ids. The run went on with index 0 " +
        "and wrote wrong numbers to seen: write them anew, such as from a checkpoint, before you go on.",
      afterIndex: notRun,
      asked: "1,2,3,5",
      written: "0,0,0,0,0",
      updated: "1,2,3,5",
      otherRan: notRun,
      tooLarge: expect.stringMatching(
        /^Error: Out of memory: \d+ MiB are needed and the limit .* is 4096 MiB\./,
      ) as string,
      released: expect.stringMatching(/^Error: run: this program has been released/) as string,
      closed: "Error: read: the wasm runtime has been closed, and its memory with it; open another.",
      fastest: "wasm",
    });
    const cores = await page.evaluate(() => navigator.hardwareConcurrency);
    expect(threads).toBe(isolated ? cores : 1);
    await page.close();
    server.close();
  });

  test("is told what is missing on the server", async () => {
    const server = await serveFolder(folder, false);
    const page = await browser.newPage();
    await page.route("**/leader.js", (route) => route.abort());
    await page.goto(server.url);
    await expect(computed(page)).rejects.toThrow(
      /createWasmRuntime: the CPU runtime could not start its 1 threads \(its script could not be loaded\)/,
    );
    await page.unroute("**/leader.js");
    await page.route("**/*.wasm", (route) => route.fulfill({ status: 404 }));
    await page.reload();
    await expect(computed(page)).rejects.toThrow(/the kernels could not be loaded: http.*\.wasm answers 404/);
    await page.close();
    server.close();
  });
});

// The package as somebody gets it who types `npm install birkhoff` in an empty project: small, and enough to import
// everything, train on a text, look inside, convert and plan. What needs more says which package, and how to get it.
// Where neither the registry nor npm's cache has the two dependencies, these tests are skipped.

import { spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { type Installed, installPackage } from "../../bench/lib/installed.ts";
import { publicEntries } from "../../scripts/public-exports.ts";
import { sizes, smallText, tiny } from "../e2e/cli.ts";

const folder = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), "birkhoff-installed-")));
afterAll(() => fs.rmSync(folder, { recursive: true }));
const installing = installPackage(folder);
if ("skipped" in installing) process.stderr.write(`The installed package is not tested: ${installing.skipped}\n`);

describe.skipIf("skipped" in installing)("npm install birkhoff", () => {
  const installed = installing as Installed;

  /** Without NODE_PATH and the like: as in a project of its own. */
  const birkhoff = (...args: string[]): { status: number | null; stdout: string; stderr: string } =>
    spawnSync(process.execPath, [installed.command, ...args], {
      cwd: folder,
      encoding: "utf8",
      env: { ...process.env, NO_COLOR: "1" },
    });

  test("it is three packages of at most 10 MiB", () => {
    expect(installed.packages).toEqual(["birkhoff", "commander", "zod"]);
    expect(installed.bytes).toBeLessThan(10 * 2 ** 20);
  });

  test("nothing in it points to a file that is not there", () => {
    const inside = path.join(installed.modules, "birkhoff");
    const files = fs.readdirSync(inside, { recursive: true, encoding: "utf8" });
    const scripts = files.filter((file) => file.endsWith(".js"));
    const maps = scripts.filter((file) =>
      /^\/\/# sourceMappingURL/m.test(fs.readFileSync(path.join(inside, file), "utf8")),
    );
    expect(maps).toEqual([]);
    const named = scripts.flatMap((file) =>
      // Comments may name what only the repository has.
      [
        ...fs
          .readFileSync(path.join(inside, file), "utf8")
          .replaceAll(/^\s*(\/\/|\*).*$/gm, "")
          .matchAll(/\bdocs\/[\w/-]+\.md/g),
      ].map(([page]) => page),
    );
    expect(named.length).toBeGreaterThan(3);
    expect(named.filter((page) => !files.includes(page))).toEqual([]);
  });

  test("every entry can be imported", () => {
    const names = publicEntries().map(({ name }) => name);
    const script = `const all = await Promise.all(${JSON.stringify(names)}.map((name) => import(name))); console.log(all.length);`;
    const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", script], {
      cwd: folder,
      encoding: "utf8",
    });
    expect({ stdout, stderr }).toEqual({ stdout: `${names.length}\n`, stderr: "" });
  });

  // Ten commands, one after the other.
  test("it trains on a text, writes, looks inside, converts and plans", { timeout: 300_000 }, () => {
    fs.writeFileSync(path.join(folder, "text.txt"), smallText(3000));
    const train = birkhoff("train", "--data", "text.txt", "--steps", "3", "--out", "runs/a", ...tiny);
    expect(train.stderr + train.stdout).toContain("runs/a");
    const commands = [
      ["sample", "runs/a", "--tokens", "5"],
      ["inspect", "runs/a"],
      ["lint", "runs/a"],
      ["convert", "runs/a", "runs/b", "--to", "deepseek-v4"],
      ["export", "runs/a", "--format", "csv"],
      ["plan", "--preset", "nano"],
      ["schedule", "--html", "schedule.html"],
      ["doctor"],
      ["completion", "bash"],
    ];
    const failed = commands
      .map((args) => ({ args, ...birkhoff(...args) }))
      .filter(({ status, stdout }) => status !== 0 || stdout === "");
    expect(failed).toEqual([]);
    expect(train.status).toBe(0);
  });

  test.each([
    [
      ["serve"],
      /^birkhoff: live page: hono and @hono\/node-server are needed and not installed\. Install them: npm install hono@\d+ @hono\/node-server@\d+\n$/,
    ],
    [
      ["train", "--steps", "1"],
      /birkhoff: State of the Union addresses: @stdlib\/datasets-sotu is needed .* npm install @stdlib\/datasets-sotu@0\.\d+; or give a text of your own \(--data my\.txt\)\n$/,
    ],
    [
      ["report", "runs/a"],
      /^birkhoff: reports and charts: vega, vega-lite and vega-embed are .* npm install vega@\d+ vega-lite@\d+ vega-embed@\d+\n$/,
    ],
    [
      ["report", "runs/a", "--png", "png"],
      /^birkhoff: PNG pictures: .* @resvg\/resvg-wasm@\d+ dejavu-fonts-ttf@\d+\n$/,
    ],
    [["intervene", "runs/a", "--svg", "a.svg"], /^birkhoff: reports and charts: /],
    [["compare", "--experiment", "scaling"], /^birkhoff: PNG pictures: /],
    [
      ["train", "--data", "text.txt", "--steps", "1", "--page", "0", ...tiny],
      /birkhoff: live page: hono and @hono\/node-server are needed/,
    ],
  ])("%j says what to install", (args, message) => {
    const { status, stderr } = birkhoff(...args);
    expect(stderr).toMatch(message);
    expect(status).toBe(1);
    // It is said before anything is made.
    expect(fs.existsSync(path.join(folder, "runs", "text-nano-mhc"))).toBe(false);
  });

  test("a sweep without what draws its chart has its results", () => {
    const values = Object.fromEntries(Object.entries(sizes).map(([name, value]) => [`model.${name}`, value]));
    const base = { data: "text.txt", steps: 2, vocabulary: 270, context: 12, batch: 4, ...values };
    fs.writeFileSync(
      path.join(folder, "sweep.json"),
      JSON.stringify({ name: "small", base, axes: { learningRate: [1e-3] } }),
    );
    const { status, stdout, stderr } = birkhoff("sweep", "sweep.json", "--out", "small", "--cache", "cache");
    expect(stderr).toContain("Then birkhoff sweep small --report draws the chart.");
    expect(stdout).toContain("1 of 1 run");
    expect(status).toBe(0);
    expect(fs.readdirSync(path.join(folder, "small"))).toContain("results.jsonl");
  });

  test("doctor says which parts lack packages", () => {
    const findings = birkhoff("doctor", "--json")
      .stdout.trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { name: string; good: boolean; remedy?: string });
    const lacking = findings.filter(({ name }) => ["corpus", "charts", "pictures", "page"].includes(name));
    expect(lacking.map(({ good }) => good)).toEqual([false, false, false, false]);
    for (const { remedy } of lacking) expect(remedy).toContain(": npm install ");
  });
});

// A run whose records are not finite can be looked at by every command.

import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "vitest";
import { makeWorkplace, run } from "./cli.ts";

const place = makeWorkplace();
afterAll(() => place.remove());

const old = fileURLToPath(new URL("../fixtures/runs-0.1/manifold", import.meta.url));

test.each(["NaN", "Infinity"])("inspect, report and exports of a run with %s", async (bad) => {
  const folder = place.at(bad);
  fs.cpSync(old, folder, { recursive: true });
  const lines = Array.from({ length: 30 }, (_, index) => {
    const loss = index >= 20 && index < 25 ? bad : 5 - index / 10;
    const rest = { gradientNorm: bad, learningRate: 1e-3, tokensPerSecond: 1000, seconds: index };
    return `${JSON.stringify({ step: index + 1, loss, ...rest })}\n`;
  });
  fs.writeFileSync(path.join(folder, "metrics.jsonl"), lines.join(""));
  const gains = fs.readFileSync(path.join(folder, "gains.jsonl"), "utf8");
  fs.writeFileSync(path.join(folder, "gains.jsonl"), gains.replace(/"rowError":\[[^,]*/g, `"rowError":["${bad}"`));

  const inspected = await run(place.folder, ["inspect", bad]);
  expect(inspected.code, inspected.stderr).toBe(0);
  expect(inspected.stdout).toContain("── training loss (5 of 30 steps are not finite)");
  expect(inspected.stdout).toContain(`gradient norm ${bad}`);
  expect(inspected.stdout).toContain(bad);
  const { stdout } = await run(place.folder, ["inspect", bad, "--json"]);
  expect(JSON.parse(stdout)).toMatchObject({ last: { step: 30, gradientNorm: bad } });
  for (const args of [
    ["report", bad],
    ["export", bad, "--format", "csv"],
    ["export", bad, "--format", "tensorboard"],
  ]) {
    const { code, stderr } = await run(place.folder, args);
    expect(code, `${args.join(" ")}: ${stderr}`).toBe(0);
  }
});

test("inspect shows what is left of damaged records, and names what is not", async () => {
  const folder = place.at("damaged");
  fs.cpSync(old, folder, { recursive: true });
  fs.appendFileSync(path.join(folder, "metrics.jsonl"), '\0\0\n{"step":7,"loss":"high","seconds":1}\n{"st');
  const { code, stdout, stderr } = await run(place.folder, ["inspect", "damaged"]);
  expect(code, stderr).toBe(0);
  expect(stdout).toContain("loss –, gradient norm –");
  expect(stderr).toMatch(/warning: metrics\.jsonl, line 7: /);
  expect(stderr).toContain("warning: metrics.jsonl, line 8: not of its type: loss");
});

import { createHash } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, expect, test } from "vitest";
import { configDifferences } from "../../src/report/config-differences.ts";
import { findings } from "../../src/report/findings.ts";
import { html, scriptJson } from "../../src/report/html.ts";
import { reportHtml } from "../../src/report/report-page.ts";
import { readRunData, type RunData } from "../../src/runs/run-data.ts";
import { storeRun, writeLines } from "./stored-runs.ts";

const parent = fs.mkdtempSync(path.join(os.tmpdir(), "report-"));
afterAll(() => fs.rmSync(parent, { recursive: true, force: true }));

const three = (folder: string): RunData[] =>
  (["residual", "hc", "mhc"] as const).map((kind) =>
    readRunData(storeRun(path.join(parent, folder), { name: kind, kind })),
  );

test("html escapes its values, and JSON ends no script", () => {
  expect(html`<a title="${`"'`}">${"<b>&"}${html`<i>${1}</i>`}${undefined}${[2, html`<u></u>`]}</a>`.toString()).toBe(
    '<a title="&quot;&#39;">&lt;b&gt;&amp;<i>1</i>2<u></u></a>',
  );
  const json = scriptJson({ a: "</script><!--\u2028" }).toString();
  expect(json).not.toMatch(/[<>\u2028]/);
  expect(JSON.parse(json)).toEqual({ a: "</script><!--\u2028" });
});

test("a report tells what the records say, and each link of its contents leads somewhere", async () => {
  const runs = three("three");
  const page = await reportHtml(runs);
  expect(page.includes("mHC ends with the lowest validation loss")).toBe(true);
  expect(page.includes("has a single seed")).toBe(true);
  expect(page.includes("model.connection.kind")).toBe(true);
  expect(page.includes("birkhoff train --connection hc --steps 200 --out runs/hc")).toBe(true);
  for (const [, id] of page.matchAll(/<a href="#([^"]+)"/g)) expect(page.includes(`<section id="${id}">`)).toBe(true);
  // Every drawing has its specification, as JSON.
  const specs = [...page.matchAll(/<script type="application\/json" data-figure="(figure\d+)">(.*?)<\/script>/g)];
  expect(specs.length).toBeGreaterThan(8);
  for (const [, id, json] of specs) {
    expect(page.includes(`id="${id}"`)).toBe(true);
    expect(JSON.parse(json!)).toHaveProperty("$schema");
  }
});

test("what resumes have changed is told, and that the command does not repeat it", async () => {
  const folder = storeRun(path.join(parent, "changed"), { name: "mhc", kind: "mhc" });
  const file = path.join(folder, "config.json");
  const description = JSON.parse(fs.readFileSync(file, "utf8")) as object;
  const changes = [
    {
      step: 100,
      fields: [
        { field: "steps", was: 100, is: 200 },
        { field: "alarms", is: {} },
      ],
    },
  ];
  fs.writeFileSync(file, JSON.stringify({ ...description, changes }));
  const page = await reportHtml([readRunData(folder)]);
  expect(page).toContain("Changed by a resume: mhc, after step 100: steps from 100 to 200, alarms from nothing to {}.");
  expect(page).toContain("so they do not repeat these runs");
  expect((await reportHtml(three("unchanged"))).includes("Changed by a resume")).toBe(false);
  fs.writeFileSync(file, JSON.stringify({ ...description, changes: [null] }));
  const { changes: none, problems } = readRunData(folder);
  expect({ none, problems }).toEqual({
    none: [],
    problems: ["config.json: its changes are not a list of steps, each with the fields that changed after it"],
  });
});

test("the page may run only the scripts that it holds", async () => {
  const page = await reportHtml(three("policy"));
  const policy = /Content-Security-Policy" content="([^"]*)"/.exec(page)![1]!;
  const scripts = [...page.matchAll(/<script>([^]*?)<\/script>/g)].map(([, script]) => script!);
  expect(scripts).toHaveLength(4);
  for (const script of scripts)
    expect(policy).toContain(`'sha256-${createHash("sha256").update(script).digest("base64")}'`);
});

test("nothing outside is asked for", async () => {
  const page = await reportHtml(three("alone"));
  const own = page.slice(0, page.indexOf("</main>"));
  expect(/<(link|img|iframe)|\ssrc=|url\((?!#)/.test(own)).toBe(false);
  expect(page.includes("default-src 'none'")).toBe(true);
});

test("findings are of the numbers: ranking, spread of seeds, runs that ended early", () => {
  const [residual, , mhc] = three("findings") as [RunData, RunData, RunData];
  const second = readRunData(
    storeRun(path.join(parent, "findings"), { name: "residual-2", kind: "residual", seed: 2 }),
  );
  const said = findings([residual, second, mhc]).join(" ");
  expect(said).toMatch(/^mHC ends with the lowest validation loss/);
  const cut = { ...mhc, metrics: mhc.metrics.slice(0, 150) };
  expect(findings([residual, cut]).join(" ")).toMatch(/mhc \(step 150 of 200\)/);
  expect(findings([{ ...mhc, metrics: [] }]).join(" ")).toMatch(/No run has a finite final loss/);
});

test("configurations are compared field by field", () => {
  const fields = configDifferences(three("fields")).map(({ field, values }) => [field, values.join("|")]);
  expect(fields).toContainEqual(["model.connection.kind", '"residual"|"hc"|"mhc"']);
  expect(fields).toContainEqual(["model.connection.iterations", "–|–|20"]);
  expect(fields.some(([field]) => field === "name")).toBe(false);
});

test("a hostile folder breaks nothing and injects nothing", async () => {
  const payload = `</script><script>alert(1)</script><img src=x onerror=alert(2)>"'--><svg onload=alert(3)>`;
  const name = "<img src=x onerror=alert(4)>&'\"";
  const folder = storeRun(path.join(parent, "hostile"), {
    name: "mhc",
    kind: "mhc",
    change: (config) => ({ ...config, name: payload, data: { ...config.data, source: payload } }),
  });
  const hostile = path.join(path.dirname(folder), name);
  fs.renameSync(folder, hostile);
  fs.writeFileSync(path.join(hostile, "samples.txt"), `step 1, prompt "x"\n  ${payload}\n\n`);
  writeLines(hostile, "events.jsonl", [
    { step: 1, rule: payload, message: payload, action: payload },
    { step: 2, rule: 7, message: null },
  ]);
  fs.writeFileSync(
    path.join(hostile, "interventions.json"),
    JSON.stringify({
      step: 1,
      loss: 1,
      rows: [
        { name: payload, change: 1e308, loss: 1, sublayers: [] },
        { name: payload, change: 0.1, loss: 1, sublayers: [] },
      ],
    }),
  );
  const whole = fs.readFileSync(path.join(hostile, "metrics.jsonl"), "utf8");
  const extreme = [1e308, -1e308, "NaN", "Infinity", "-Infinity", null, payload].map((loss, index) =>
    JSON.stringify({ step: 201 + index, loss, gradientNorm: loss, validationLoss: loss, [payload]: payload }),
  );
  fs.writeFileSync(path.join(hostile, "metrics.jsonl"), `${whole}${payload}\n${extreme.join("\n")}\n{"step": 300, "lo`);
  const gains = Array.from({ length: 8 }, (_, index) => (index % 2 ? 1e308 : "NaN"));
  const both = { forward: gains, backward: gains };
  const matrices = gains.map(() => Array.from({ length: 16 }, () => 1e308));
  fs.appendFileSync(
    path.join(hostile, "gains.jsonl"),
    `${JSON.stringify({ step: 201, single: both, composite: both, mixing: matrices, product: matrices, groups: { [payload]: 1 } })}\n`,
  );
  fs.writeFileSync(path.join(hostile, "checkpoints", "step-200", "model.safetensors"), payload);
  const empty = path.join(parent, "hostile", payload.replaceAll("/", "_").slice(0, 60));
  fs.mkdirSync(empty);

  const sound = readRunData(storeRun(path.join(parent, "hostile"), { name: "sound", kind: "hc" }));
  const page = await reportHtml([readRunData(hostile), readRunData(empty), sound], { paper: true, title: payload });
  const plain = await reportHtml([sound]);
  const opened = (text: string): number => text.match(/<script>/g)!.length;
  expect(opened(page)).toBe(opened(plain));
  const specs = page.match(/<script type="application\/json"/g)!.length;
  expect(page.match(/<script/gi)!.length).toBe(opened(page) + specs);
  expect(page.match(/<\/script/gi)!.length).toBe(opened(page) + specs);
  expect(page.includes(payload)).toBe(false);
  const markup = page.slice(0, page.indexOf("</main>"));
  // Without the values of attributes: there it may stand, escaped.
  expect(/<img|<svg onload|<[^>]*\son\w+=/.test(markup.replace(/"[^"]*"/g, '""'))).toBe(false);
  // It is shown, as text.
  expect(markup.includes("&lt;/script&gt;&lt;script&gt;alert(1)")).toBe(true);
  expect(markup.includes("What could not be read")).toBe(true);
});

test("a long run makes no heavy report", async () => {
  const run = readRunData(storeRun(path.join(parent, "long"), { name: "mhc", kind: "mhc", steps: 10_000 }));
  expect((await reportHtml([run])).length).toBeLessThan(2_500_000);
});

// The live page in a real browser: curves of a run under way, a server that is started again, a phone,
// the keyboard, and names that are not what they seem. Needs Chromium (CHROMIUM names it) and the built page.

import fs from "node:fs";
import { lockFolder } from "../../src/files/lock.ts";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { listen, type PageServer } from "../../src/report/server/listen.ts";
import type { ControlAction, Curves } from "../../src/report/server/messages.ts";
import { type PageFiles, readPageFiles } from "../../src/report/server/page-files.ts";
import { kindColours } from "../../src/report/figures/palette.ts";
import { gainLine, makeRoot, metricLine, type Workplace, writeRun } from "../report/server/runs.ts";

const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
const files = ((): PageFiles | undefined => {
  try {
    return readPageFiles();
  } catch {
    return undefined;
  }
})();
const missing = fs.existsSync(executablePath)
  ? files === undefined && "the page is not built (npm run build)"
  : `there is no Chromium at ${executablePath} (CHROMIUM names another)`;
if (missing) process.stderr.write(`The tests of the live page are skipped: ${missing}.\n`);

/** The colour that src/report/figures/palette.ts gives to mHC, as a browser writes it. */
const MHC = "rgb(0, 158, 115)";
let browser: Browser;
let place: Workplace;
let server: PageServer;
let page: Page;
const problems: string[] = [];
const asked: [ControlAction, folder?: string][] = [];

async function serve(port = 0): Promise<void> {
  const control = {
    folders: [place.at("now", "mhc"), place.at("now", "hc")],
    send: (...ask: (typeof asked)[number]) => void asked.push(ask),
  };
  server = await listen({ root: place.root, host: "127.0.0.1", port, page: files!, control });
}
async function open(size = { width: 1280, height: 800 }): Promise<void> {
  page = await browser.newPage({ viewport: size });
  page.on("pageerror", (error) => problems.push(error.message));
  page.on("console", (message) => {
    // A connection that is lost is logged by the browser itself.
    if (message.type() === "error" && !message.text().includes("ERR_")) problems.push(message.text());
  });
  page.on("dialog", (dialog) => problems.push(`a dialog: ${dialog.message()}`));
  await page.goto(server.url);
  await page.getByRole("status").filter({ hasText: "live" }).first().waitFor();
}
/** Colours on the canvas of a chart: how many pixels of it are drawn. */
const inked = (title: string): Promise<number> =>
  page
    .getByRole("img", { name: title })
    .locator("canvas")
    .evaluate((canvas: HTMLCanvasElement) => {
      const { data } = canvas.getContext("2d")!.getImageData(0, 0, canvas.width, canvas.height);
      let count = 0;
      for (let i = 0; i < data.length; i += 4)
        if (data[i + 3]! > 128 && Math.abs(data[i]! - data[i + 2]!) > 60) count++;
      return count;
    });

describe.skipIf(missing)("the live page", () => {
  beforeAll(async () => {
    browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  });
  afterAll(() => browser.close());
  beforeEach(async () => {
    place = makeRoot();
    writeRun(place.at("now", "mhc"), { steps: 400, done: 50 });
    writeRun(place.at("now", "hc"), { steps: 400, done: 50, connection: "hc" });
    writeRun(place.at("before", "other"), { connection: "residual" });
    const past = new Date(Date.now() - 1e6);
    fs.utimesSync(place.at("before", "other", "config.json"), past, past);
    await serve();
  });
  afterEach(async () => {
    await page.close();
    await server.close();
    place.remove();
    asked.length = 0;
    expect(problems.splice(0)).toEqual([]);
  });
  const append = (line: string, file = "metrics.jsonl"): void => fs.appendFileSync(place.at("now", "mhc", file), line);
  const card = () => page.locator("li.card").filter({ hasText: "mhc" });
  const chart = () => page.getByRole("region", { name: "Training loss" });

  test("shows the newest runs and what a run under way adds, also after the server was started again", async () => {
    await open();
    expect(await page.getByRole("option", { selected: true }).count()).toBe(2);
    await expect.poll(() => inked("Training loss")).toBeGreaterThan(100);
    // The last value itself, as the legend says it without smoothing.
    await page.getByRole("slider", { name: "smoothing" }).press("Home");
    append(metricLine(51, { loss: 1.2345, validationLoss: 1.5, bitsPerByte: 0.8125 }));
    await expect.poll(() => card().getByTestId("val bits/byte").textContent()).toBe("0.8125");
    await expect.poll(() => chart().locator(".values").textContent()).toContain("1.234");

    const { port } = server;
    await server.close();
    await page.getByText("reconnecting", { exact: true }).waitFor();
    append(metricLine(52, { loss: 0.875 }) + metricLine(53, { loss: 0.75 }));
    await serve(port);
    await page.getByRole("status").filter({ hasText: "live" }).first().waitFor();
    await expect.poll(() => chart().locator(".values").textContent()).toContain("0.75");
    append(metricLine(54, { loss: "NaN" }));
    await expect.poll(() => chart().locator(".values").textContent()).toContain("not finite");
    append(metricLine(55, { loss: 0.5 }));
    // The mean of the last twenty that are finite, as the card says: 2 + 5 / (1 + step / 20) down to step 50.
    const known = Array.from({ length: 15 }, (_, index) => 2 + 5 / (1 + (36 + index) / 20)).concat(
      1.2345,
      0.875,
      0.75,
      0.5,
    );
    const mean = known.reduce((a, b) => a + b) / known.length;
    await expect.poll(() => card().getByTestId("mean loss").textContent()).toBe(String(Number(mean.toPrecision(4))));
    await expect.poll(() => card().locator("dd").first().textContent()).toBe("55");
  });

  test("forgets runs that were removed while the server was away", async () => {
    await open();
    await expect.poll(() => page.getByRole("option").count()).toBe(3);
    const { port } = server;
    await server.close();
    await page.getByText("reconnecting", { exact: true }).waitFor();
    for (const run of [place.at("now", "hc"), place.at("before", "other")]) fs.rmSync(run, { recursive: true });
    await serve(port);
    await expect.poll(() => page.locator(".run .name").allTextContents()).toEqual(["mhc"]);
    await expect.poll(() => page.locator("li.card strong").allTextContents()).toEqual(["mhc"]);
  });

  test("draws a connection in one colour, and its runs in shades that stay", async () => {
    writeRun(place.at("now", "mhc-2"), { steps: 400, done: 50 });
    await open();
    const shown = (): Promise<Record<string, string>> =>
      page
        .locator("li.card")
        .evaluateAll((cards) =>
          Object.fromEntries(
            cards.map((card) => [card.querySelector("strong")!.textContent, getComputedStyle(card).borderTopColor]),
          ),
        );
    await expect.poll(() => page.locator("li.card").count()).toBe(3);
    const all = await shown();
    const [first, second] = [all["mhc"]!, all["mhc-2"]!].sort((a) => (a === MHC ? -1 : 1));
    expect([first, all["hc"]]).toEqual([MHC, "rgb(213, 94, 0)"]);
    expect(second).not.toBe(first);
    const base = Object.keys(all).find((name) => all[name] === first)!;
    await page.getByRole("button", { name: `Hide ${base}`, exact: true }).click();
    const { [base]: _, ...others } = all;
    await expect.poll(shown).toEqual(others);
    await page.getByRole("option").filter({ hasText: "residual" }).click();
    await page.locator(".run .name").getByText(base, { exact: true }).click();
    await expect.poll(shown).toEqual({ ...all, other: "rgb(123, 135, 148)" });
  });

  test("lets the run under the pointer stand out", async () => {
    await open();
    await expect.poll(() => inked("Training loss")).toBeGreaterThan(100);
    const both = await inked("Training loss");
    // The last one drawn lies over the other: without it some of the other's points show.
    await page.locator("li.card").first().hover();
    await expect.poll(() => inked("Training loss")).not.toBe(both);
    await page.getByRole("tab", { name: "Curves" }).hover();
    await expect.poll(() => inked("Training loss")).toBe(both);
  });

  test("shows every point of a stretch that is zoomed into, by pointer and by keys", async () => {
    writeRun(place.at("now", "mhc"), { steps: 6000, done: 6000 });
    await open();
    await expect.poll(() => inked("Training loss")).toBeGreaterThan(100);
    const finer = (): Promise<Curves> =>
      page
        .waitForResponse((answer) => answer.url().includes("run=now%2Fmhc") && answer.url().includes("from="))
        .then((answer) => answer.json() as Promise<Curves>);
    const plot = page.getByRole("img", { name: "Training loss" }).locator(".u-over");
    const { x, y, width } = (await plot.boundingBox())!;
    const fetched = finer();
    await page.mouse.move(x + width / 2, y + 50);
    await page.mouse.down();
    await page.mouse.move(x + width * 0.55, y + 60, { steps: 3 });
    await page.mouse.up();
    const { step } = (await fetched).series.loss;
    expect(step.length).toBeGreaterThan(200);
    expect(step.at(-1)! - step[0]!).toBe(step.length - 1);
    const zoomed = page.getByRole("button", { name: /^steps (2,9|3,0)\d\d to 3,[23]\d\d/ });
    await zoomed.waitFor();
    await plot.dblclick();
    await zoomed.waitFor({ state: "detached" });

    await page.getByRole("group", { name: /^Gradient norm/ }).focus();
    await page.keyboard.press("+");
    await page.keyboard.press("+");
    await page.keyboard.press("+");
    const moved = finer();
    await page.keyboard.press("ArrowRight");
    const right = (await moved).series.gradientNorm.step;
    expect([right[0]! > 2600, right.at(-1)! < 3700]).toEqual([true, true]);
    await page.getByRole("button", { name: /^steps/ }).waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: /^steps/ }).waitFor({ state: "detached" });
  });

  test("shows maps, mixing matrices at any recorded step, and says where there are none", async () => {
    const at = (weight: number): unknown => [0, 1].map(() => [weight, 1 - weight, 1 - weight, weight]);
    append(gainLine(60, { mixing: at(0.75) }) + gainLine(70, { mixing: at(0.625) }), "gains.jsonl");
    await open();
    await page.getByRole("tab", { name: "Mixing" }).click();
    await expect.poll(() => page.locator(".matrix td").first().textContent()).toBe("0.63");
    await page.getByRole("slider", { name: /step/ }).press("ArrowLeft");
    await expect.poll(() => page.locator(".matrix td").first().textContent()).toBe("0.75");
    expect(await page.locator(".matrix th").first().textContent()).toBe("1.00");
    await page.getByText(/No mixing matrices in hc: the run was recorded by an older version/).waitFor();
    append(gainLine(80, { mixing: at(0.5) }), "gains.jsonl");
    await page.getByRole("slider", { name: /step/ }).press("End");
    await expect.poll(() => page.locator(".matrix td").first().textContent()).toBe("0.50");

    await page.getByRole("tab", { name: "Gains" }).click();
    await page.getByRole("img", { name: /Gains of mhc/ }).press("ArrowDown");
    await page.getByText(/step 80, layer 0 feed-forward: gain 1$/).waitFor();
    await page.getByRole("img", { name: /Gains of mhc/ }).press("ArrowUp");
    await page.getByText(/step 80, layer 0 attention: gain 82/).waitFor();
    await page
      .getByRole("region", { name: "mhc", exact: true })
      .getByText("The mixing amplifies up to 82 times.")
      .waitFor();
  });

  test("samples and alarms appear as they are written, and configurations are compared", async () => {
    await open();
    await page.getByRole("tab", { name: "Samples" }).click();
    append('step 50, prompt "We"\n  We must\n\n', "samples.txt");
    await page.getByText("We must").waitFor();
    await page.getByRole("tab", { name: "Alarms" }).click();
    append('{"step":50,"rule":"gain","message":"The gain grew.","action":"continue"}\n', "events.jsonl");
    await page.getByText("The gain grew.").waitFor();
    await page.getByRole("tab", { name: "Configuration" }).click();
    const rows = page.getByRole("rowheader");
    await expect.poll(() => rows.allTextContents()).toEqual(["name", "model.connection.kind"]);
  });

  test("is used with the keyboard alone", async () => {
    await open();
    await page.keyboard.press("/");
    await page.keyboard.type("residual");
    await expect.poll(() => page.getByRole("option").count()).toBe(1);
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Space");
    await expect.poll(() => page.locator("li.card").count()).toBe(3);
    await page.keyboard.press("Enter");
    await expect.poll(() => page.locator("li.card strong").allTextContents()).toEqual(["other"]);
    await page.keyboard.press("/");
    await page.keyboard.press("Escape");
    await expect.poll(() => page.getByRole("option").count()).toBeGreaterThan(1);
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Home");
    const active = page.locator(".run.active .name");
    // A key is answered a moment after it was pressed.
    const newest = page.locator(".run").first();
    await expect.poll(() => newest.getAttribute("class")).toContain("active");
    const first = await active.textContent();
    await page.keyboard.press("ArrowDown");
    await expect.poll(() => active.textContent()).not.toBe(first);
    expect(await page.locator(".runs").evaluate((list) => getComputedStyle(list).outlineStyle)).not.toBe("none");
    await page.getByRole("tab", { name: "Curves" }).focus();
    await page.keyboard.press("ArrowRight");
    expect(await page.getByRole("tab", { name: "Table" }).getAttribute("aria-selected")).toBe("true");
    await page.keyboard.press("ArrowRight");
    // Everything that can be pressed is reached by Tab.
    const reached = new Set<string>();
    await page.evaluate(() => (document.activeElement as HTMLElement).blur());
    for (let i = 0; i < 40; i++) {
      await page.keyboard.press("Tab");
      reached.add(
        await page.evaluate(() => {
          const { id, classList, tagName } = document.activeElement!;
          return id || [...classList].find((name) => !name.startsWith("svelte-")) || tagName;
        }),
      );
    }
    expect([...reached]).toEqual(expect.arrayContaining(["search", "runs", "tab-Gains", "SELECT"]));
  });

  test("fits a phone, in every part", async () => {
    append(gainLine(60, { mixing: [0, 1].map(() => [0.5, 0.5, 0.5, 0.5]) }), "gains.jsonl");
    await open({ width: 360, height: 740 });
    await page.getByRole("button", { name: /^Runs/ }).click();
    await page.getByRole("option").first().waitFor();
    for (const tab of ["Curves", "Table", "Gains", "Mixing", "Samples", "Alarms", "Configuration"]) {
      await page.getByRole("tab", { name: tab }).click();
      const width = await page.evaluate(() => document.documentElement.scrollWidth);
      expect(width, tab).toBeLessThanOrEqual(360);
    }
  });

  test("zooms under a finger", async () => {
    writeRun(place.at("now", "mhc"), { steps: 6000, done: 6000 });
    await open({ width: 390, height: 844 });
    const plot = page.getByRole("img", { name: "Training loss" }).locator(".u-over");
    await plot.scrollIntoViewIfNeeded();
    const { x, y, width } = (await plot.boundingBox())!;
    const touch = await page.context().newCDPSession(page);
    const send = (type: "touchStart" | "touchMove" | "touchEnd", share?: number): Promise<unknown> =>
      touch.send("Input.dispatchTouchEvent", {
        type,
        touchPoints: share === undefined ? [] : [{ x: x + share * width, y: y + 60 }],
      });
    await send("touchStart", 0.5);
    for (const share of [0.55, 0.6, 0.7, 0.75]) await send("touchMove", share);
    await send("touchEnd");
    await page.getByRole("button", { name: /^steps (2,9|3,0)\d\d to 4,[45]\d\d/ }).click();
    await expect.poll(() => page.getByRole("button", { name: /^steps/ }).count()).toBe(0);
  });

  test("asks a training to save or to stop, all its runs or one, and keeps tags", async () => {
    lockFolder(place.at("now", "mhc"));
    await open();
    await page.getByRole("button", { name: "Save a checkpoint" }).click();
    await expect.poll(() => asked).toEqual([["checkpoint"]]);
    await page.getByText("Saving a checkpoint of every run after this step…").waitFor();
    fs.mkdirSync(place.at("now", "mhc", "checkpoints", "step-50"), { recursive: true });
    await page.getByText("Saved at step 50.").waitFor();
    await page.getByRole("button", { name: "Stop and save…" }).click();
    await page.getByRole("button", { name: "Stop and save", exact: true }).click();
    await expect.poll(() => asked).toEqual([["checkpoint"], ["stop"]]);
    // With a second one in training each has buttons of its own.
    expect(await page.getByRole("button", { name: "Save mhc" }).count()).toBe(0);
    lockFolder(place.at("now", "hc"));
    await page.getByRole("button", { name: "Save hc" }).click();
    await expect.poll(() => asked.slice(2)).toEqual([["checkpoint", place.at("now", "hc")]]);
    await page.getByRole("button", { name: "Stop mhc and save it…" }).click();
    await page.getByRole("button", { name: "Stop mhc", exact: true }).click();
    await expect.poll(() => asked.slice(3)).toEqual([["stop", place.at("now", "mhc")]]);
    await page.getByText("Stopping mhc: it is saved, and the others go on.").waitFor();
    await page.getByRole("button", { name: "Add a tag to mhc" }).click();
    await page.keyboard.type("keep");
    await page.keyboard.press("Enter");
    await page.getByRole("button", { name: "Remove the tag keep of mhc" }).waitFor();
    // A tag it has already changes nothing, and the page still hears what comes.
    await page.getByRole("button", { name: "Add a tag to mhc" }).click();
    await page.keyboard.type("keep");
    await page.keyboard.press("Enter");
    await page.getByRole("button", { name: "Add a tag to mhc" }).click();
    await page.keyboard.type("second");
    await page.keyboard.press("Enter");
    await page.getByRole("button", { name: "Remove the tag second of mhc" }).waitFor();
    expect(JSON.parse(fs.readFileSync(place.at("now", "mhc", "tags.json"), "utf8"))).toEqual({
      tags: ["keep", "second"],
    });
  });

  test("says names and values at the pointer, the highest first, and draws the seeds of a configuration together", async () => {
    const config = (name: string, seed: number): void => {
      writeRun(place.at("now", name), { steps: 400, done: 50 });
      const file = place.at("now", name, "config.json");
      const description = JSON.parse(fs.readFileSync(file, "utf8")) as { config: Record<string, unknown> };
      Object.assign(description.config, { name, seed });
      fs.writeFileSync(file, JSON.stringify(description));
      const metrics = place.at("now", name, "metrics.jsonl");
      fs.writeFileSync(metrics, Array.from({ length: 50 }, (_, at) => metricLine(at + 1, { loss: 4 + seed })).join(""));
    };
    fs.rmSync(place.at("now", "mhc"), { recursive: true });
    fs.rmSync(place.at("now", "hc"), { recursive: true });
    config("mhc-seed1", 1);
    config("mhc-seed2", 2);
    config("mhc-seed3", 3);
    await open();
    await expect.poll(() => inked("Training loss")).toBeGreaterThan(100);
    const legend = chart().getByRole("list", { name: "Legend" }).locator("li");
    expect((await legend.locator(".name").allTextContents()).sort()).toEqual(["mhc-seed1", "mhc-seed2", "mhc-seed3"]);
    const plot = page.getByRole("img", { name: "Training loss" }).locator(".u-over");
    await plot.hover();
    const tip = page.getByRole("tooltip");
    await expect
      .poll(() => tip.getByRole("rowheader").allTextContents())
      .toEqual(["mhc-seed3", "mhc-seed2", "mhc-seed1"]);
    expect(await tip.locator(".value").allTextContents()).toEqual(["7", "6", "5"]);
    expect(await tip.locator("b").textContent()).toMatch(/^step 2\d$/);
    // Only a vertical line: a place on the vertical axis means something else in every chart.
    expect(await page.locator(".u-cursor-y:visible").count()).toBe(0);

    await page.getByLabel("seeds together: mean and range").check();
    await expect.poll(() => legend.locator(".name").allTextContents()).toEqual(["mhc (3 seeds)"]);
    await plot.hover({ position: { x: 40, y: 40 } });
    await expect.poll(() => tip.locator(".value").allTextContents()).toEqual(["6"]);
    expect(await tip.locator(".band").textContent()).toBe("5 to 7");
  });

  test("gives a chart away as SVG, PNG and CSV", async () => {
    append(metricLine(51, { loss: "NaN" }) + metricLine(52, { loss: 0.125 }));
    await open();
    await expect.poll(() => inked("Training loss")).toBeGreaterThan(100);
    const download = async (kind: string): Promise<{ name: string; content: Buffer }> => {
      await chart().getByLabel("Download Training loss").click();
      const coming = page.waitForEvent("download");
      await chart().getByRole("button", { name: kind }).click();
      const file = await coming;
      return { name: file.suggestedFilename(), content: fs.readFileSync(await file.path()) };
    };
    const csv = await download("CSV");
    expect(csv.name).toBe("training-loss.csv");
    const rows = csv.content.toString().trimEnd().split("\n");
    const mhc = rows[0]!.split(",").indexOf("mhc");
    expect(rows[0]!.split(",").sort()).toEqual(["hc", "mhc", "step"]);
    expect(rows).toHaveLength(53);
    expect([rows[1], rows[51], rows[52]].map((row) => row!.split(",")[mhc])).toEqual(["6.7619", "not finite", "0.125"]);
    const svg = await download("SVG");
    expect(svg.name).toBe("training-loss.svg");
    expect(svg.content.toString()).toContain(`stroke="${kindColours.mhc}"`);
    expect(svg.content.toString()).toContain(">mhc</text>");
    const png = await download("PNG");
    expect([png.name, png.content.subarray(1, 4).toString()]).toEqual(["training-loss.png", "PNG"]);
    expect(png.content.readUInt32BE(16)).toBe(1520);
  });

  test("has a table of all runs, sorted by any column, and maps of the experts", async () => {
    append(
      metricLine(51, { validationLoss: 3, bitsPerByte: 1.5 }) + metricLine(52, { validationLoss: 4, bitsPerByte: 2 }),
    );
    const load = [
      [10, 30, 0],
      [20, 20, 0],
    ];
    const config = JSON.parse(fs.readFileSync(place.at("now", "hc", "config.json"), "utf8")) as {
      config: { model: object };
    };
    Object.assign(config.config.model, { feedForward: { kind: "moe" } });
    fs.writeFileSync(place.at("now", "hc", "config.json"), JSON.stringify(config));
    const line = metricLine(51, { expertLoad: load, validationLoss: 2, bitsPerByte: 1.75 });
    fs.appendFileSync(place.at("now", "hc", "metrics.jsonl"), line);
    await open();
    await page.getByRole("tab", { name: "Table" }).click();
    const names = (): Promise<string[]> => page.locator("tbody button.name").allTextContents();
    await expect.poll(names).toEqual(["hc", "mhc", "other"]);
    await page.getByRole("button", { name: "best val" }).click();
    await expect.poll(names).toEqual(["mhc", "hc", "other"]);
    await page.getByRole("button", { name: "best val" }).click();
    await expect.poll(names).toEqual(["hc", "mhc", "other"]);
    await expect.poll(() => page.locator("tbody tr").nth(1).locator("td").allTextContents()).toContain("1.5");
    await page.locator("tbody button.name").nth(2).click();
    await expect.poll(() => page.locator("li.card").count()).toBe(3);

    await page.getByRole("tab", { name: "Experts" }).click();
    await page.getByRole("img", { name: /Load of the experts of hc, mixture 1/ }).press("ArrowDown");
    await page.getByText("step 51, expert 1: 2.25 of an even load").waitFor();
    await page.getByText("busiest now: expert 1 with 2.25 times an even load; 1 idle").waitFor();
  });

  test("is hit by a finger", async () => {
    await open({ width: 390, height: 844 });
    await page.getByRole("button", { name: /^Runs/ }).click();
    const small = await page
      .locator("button:visible, summary:visible, select:visible, [role=option]:visible, label.choice:visible")
      .evaluateAll((all) =>
        all.flatMap((each) => {
          const { width, height } = each.getBoundingClientRect();
          return height < 44 || width < 44 ? [`${each.textContent.trim()} ${width} × ${height}`] : [];
        }),
      );
    expect(small).toEqual([]);
  });

  test("shows hostile names and texts as what they are", async () => {
    const name = "<img src=x onerror=alert(1)>";
    writeRun(place.at("now", name), { connection: "<script>alert(2)</script>" });
    fs.writeFileSync(
      place.at("now", name, "samples.txt"),
      'step 1, prompt "<b>"\n  <b><img src=x onerror=alert(3)>\n\n',
    );
    fs.appendFileSync(place.at("now", name, "metrics.jsonl"), '{"step":101,"loss":1e999}\n{"step":102,"lo');
    await open();
    await page.getByRole("tab", { name: "Samples" }).click();
    await page.getByText("onerror=alert(3)").waitFor();
    expect(await page.locator("img[src=x], script:not([src])").count()).toBe(0);
    await page.locator(".run .name").filter({ hasText: name }).waitFor();
  });
});

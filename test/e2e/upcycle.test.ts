// A run is trained, gets streams, goes on and writes, as a person would do it.

import { existsSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { afterAll, expect, test } from "vitest";
import { losses, makeWorkplace, run, tiny } from "./cli.ts";

const place = makeWorkplace();
afterAll(() => place.remove());

test("train, give it streams, go on, sample", async () => {
  const steps = ["--steps", "6", "--evaluate-every", "6", "--checkpoint-every", "3"];
  const train = ["train", "--data", "text.txt", "--connection", "residual", "--out", "plain", "--json"];
  const trained = await run(place.folder, [...train, ...tiny, ...steps]);
  expect(trained.code, trained.stderr).toBe(0);

  const convert = (...args: string[]): ReturnType<typeof run> =>
    run(place.folder, ["convert", "plain", ...args, "--threads", "1"]);
  const said = await convert("wide", "--from", "residual", "--to", "mhc");
  expect(said.code, said.stderr).toBe(0);
  expect(said.stdout).toMatch(
    /^wide: mhc, 4 streams, from step 6 of plain; 6,252 more parameters\.\nLargest difference of a logit: \d\.\de-\d; largest logit: \d\.\d\d\.\nContinue: birkhoff train --resume wide\n$/,
  );
  const told = await convert("hc", "--from", "residual", "--to", "hc", "--streams", "2", "--steps", "8", "--json");
  expect(JSON.parse(told.stdout)).toMatchObject({ folder: "hc", step: 6, steps: 8, addedParameters: 300 });
  for (const [args, message] of [
    [["no", "--from", "residual", "--to", "paper"], "birkhoff: convert: --from residual does not go with --to paper"],
    [["no", "--to", "paper"], "birkhoff: convert: plain is a residual run, which does not go with --to paper"],
    [["no", "--from", "paper", "--to", "mhc"], "birkhoff: convert: --from paper does not go with --to mhc"],
    [["wide", "--from", "residual", "--to", "mhc"], "birkhoff: there is a run in wide already"],
  ] as const) {
    const { code, stderr } = await convert(...args);
    expect([code, stderr.startsWith(message)], stderr).toEqual([1, true]);
  }
  expect(existsSync(place.at("no"))).toBe(false);

  symlinkSync(place.at("plain"), place.at("link"));
  // The run says that it is residual.
  const through = await convert("link", "--to", "mhc", "--overwrite");
  expect([through.code, through.stderr]).toEqual([1, expect.stringContaining("the folder of the old one")]);
  expect(readFileSync(place.at("plain/config.json"), "utf8")).toContain('"residual"');

  // As if it had been killed before its first checkpoint: not a run from random weights.
  await convert("killed", "--from", "residual", "--to", "mhc");
  rmSync(place.at("killed/checkpoints"), { recursive: true });
  const random = await run(place.folder, ["train", "--resume", "killed", "--cache", "cache", "--threads", "1"]);
  expect([random.code, random.stderr]).toEqual([1, expect.stringContaining("make it again: birkhoff convert")]);

  for (const [folder, last] of [
    ["wide", 12],
    ["hc", 8],
  ] as const) {
    const resumed = await run(place.folder, ["train", "--resume", folder, "--cache", "cache", "--threads", "2"]);
    expect(resumed.code, resumed.stderr).toBe(0);
    expect(losses(place.at(folder)).map((record) => (record as { step: number }).step)).toEqual(
      Array.from({ length: last - 6 }, (_, i) => 7 + i),
    );
  }
  const sampled = await run(place.folder, ["sample", "wide", "--tokens", "5", "--seed", "1", "--threads", "1"]);
  expect(sampled.code, sampled.stderr).toBe(0);
  expect(sampled.stdout).toMatch(/^The/);
});

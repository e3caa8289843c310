// Alarms as a person meets them: one line, a record, an exit code; and what is said of a wrong --alarm.

import fs from "node:fs";
import { afterAll, describe, expect, test } from "vitest";
import { readEvents } from "../../src/runs/run-folder.ts";
import { losses, makeWorkplace, run, tiny, resultOf } from "./cli.ts";

const place = makeWorkplace();
afterAll(() => place.remove());

/** HC at a rate that makes its gain grow. */
const growing = [...tiny, "--data", "text.txt", "--steps", "24", "--warmup", "0", "--learning-rate", "3e-2"];
const train = (...args: string[]): string[] => [
  "train",
  ...growing,
  "--connection",
  "hc",
  "--set",
  "gainsEvery=1",
  ...args,
];

test("an alarm that stops ends with its line and exit code 1; resumed, the run goes on past it", async () => {
  const { code, stderr, stdout } = await run(
    place.folder,
    train("--out", "runs/stop", "--alarm", "gain=1.5:stop", "--tensorboard"),
  );
  expect([code, stdout]).toEqual([1, ""]);
  expect(stderr.match(/alarm "gain"/g)).toHaveLength(1);
  expect(stderr.trimEnd().split("\n").at(-1)).toMatch(
    /^birkhoff: stop: alarm "gain" at step \d+: the largest composite gain, at sublayer \d of 4, is [\d.]+, above 1\.5\. Likely cause: .*\. Use mHC .* The run stops\. It is saved in runs\/stop; resumed, it goes on past this alarm \(gain\)\.$/,
  );
  const [event] = readEvents(place.at("runs/stop"));
  expect(event).toMatchObject({ rule: "gain", bound: 1.5, action: "stop" });
  expect(losses(place.at("runs/stop"))).toHaveLength(event!.step);

  const resumed = await run(place.folder, ["train", "--resume", "runs/stop", "--cache", "cache"]);
  expect(resumed.code, resumed.stderr).toBe(0);
  expect(resumed.stdout).toMatch(new RegExp(`last alarm of \\S+: gain at step ${event!.step}$`, "m"));
  expect(losses(place.at("runs/stop"))).toHaveLength(24);
  const files = fs.readdirSync(place.at("runs/stop")).filter((name) => name.startsWith("events.out.tfevents."));
  expect(files).toHaveLength(2);
  const inspected = await run(place.folder, ["inspect", "runs/stop"]);
  expect(inspected.stdout).toContain(`1 alarm, the last: alarm "gain" at step ${event!.step}: `);
});

test("in a comparison each run has its alarms, and one that an alarm stops lets the others end", async () => {
  const { code, stderr, stdout } = await run(place.folder, [
    "compare",
    ...growing,
    "--connections",
    "residual,hc",
    "--set",
    "gainsEvery=1",
    "--out",
    "runs/both",
    "--json",
    "--alarm",
    "gain=1.5:rollback",
    "--set",
    "alarms.rollbacks=1",
    "--set",
    "alarms.rateFactor=1",
  ]);
  expect(code).toBe(1);
  expect(resultOf(stdout)).toMatchObject({ folder: "runs/both", stopped: false });
  expect(resultOf(stdout)["runs"]).toMatchObject([
    { name: "residual", diverged: false, alarms: 0 },
    { name: "hc", diverged: false, alarmed: true, alarms: 2 },
  ]);
  expect(stderr).toMatch(
    /^\S+ \S+ hc: alarm "gain" at step \d+: .* Back to step \d+, with 1 × the configured learning rate from there on\.$/m,
  );
  expect(stderr).toMatch(/^\S+ \S+ hc: alarm "gain" .* It has gone back 1 time, and 1 is the limit/m);
  expect(losses(place.at("runs/both/residual"))).toHaveLength(24);
});

test("--no-alarms is silent and changes nothing else", async () => {
  const { code, stderr } = await run(place.folder, train("--out", "runs/silent", "--no-alarms"));
  expect(code, stderr).toBe(0);
  expect(stderr).not.toContain("alarm");
  expect(readEvents(place.at("runs/silent"))).toEqual([]);
  expect(losses(place.at("runs/silent"))).toEqual(losses(place.at("runs/stop")));
});

describe("mistakes", () => {
  test.each([
    ["saturation=13.8", /The bound of saturation is 13\.8, but \|λ₂\| never exceeds 1/],
    ["gian=3", /"gian" is not a rule; use not-finite, diverged, gain, /],
    ["gain=high", /The bound of gain is "high"; it must be off or a number of at least 0\./],
    ["gain=", /The bound of gain is ""/],
    ["gain=3:halt", /"halt" is not an action; use continue, stop, rollback\./],
    ["not-finite=off", /alarms\.rules\.not-finite/],
    ["not-finite:continue", /alarms\.rules\.not-finite/],
  ])("%s", async (alarm, message) => {
    const { code, stderr } = await run(place.folder, train("--out", "runs/wrong", "--alarm", alarm));
    expect(code).toBe(1);
    expect(stderr).toMatch(message);
    expect(stderr).not.toMatch(/^ +at /m);
    expect(fs.existsSync(place.at("runs/wrong"))).toBe(false);
  });
});

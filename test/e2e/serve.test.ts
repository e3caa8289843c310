// `birkhoff serve` and `--page` as a person uses them.

import fs from "node:fs";
import { afterAll, expect, test } from "vitest";
import type { RunCard } from "../../src/report/server/messages.ts";
import { makeWorkplace, run, start, tiny } from "./cli.ts";

const place = makeWorkplace();
afterAll(() => place.remove());
/** The page is built by npm test, not by this file. */
const isBuilt = fs.existsSync(new URL("../../dist/web/index.html", import.meta.url));

test.skipIf(!isBuilt)(
  "a training with --page is seen on its page, and stopped there with everything saved",
  async () => {
    const options = ["--data", "text.txt", "--out", "runs/watched", "--page", "0", ...tiny, "--steps", "100000"];
    const { child, said, finished } = start(place.folder, ["train", ...options]);
    let stderr = "";
    child.stderr!.on("data", (text: string) => (stderr += text));
    await said("Live page: ");
    const [url] = /http:\S+/.exec(stderr)!;
    const cardOf = async (): Promise<{ step: number } & Record<string, unknown>> => {
      const { cards } = (await (await fetch(`${url}api/runs`)).json()) as { cards: [{ step: number }] };
      return cards[0];
    };
    await expect.poll(async () => (await cardOf()).step, { timeout: 30_000 }).toBeGreaterThan(3);
    expect(await cardOf()).toMatchObject({ id: "watched", state: "training", controlled: true });
    const headers = { origin: new URL(url).origin, "content-type": "application/json" };
    await fetch(`${url}api/control`, { method: "POST", headers, body: JSON.stringify({ action: "stop" }) });
    const { code, stdout } = await finished;
    expect(code).toBe(130);
    expect(stdout).toContain("Continue: birkhoff train --resume runs/watched");
    expect(fs.readdirSync(place.at("runs", "watched", "checkpoints"))).not.toEqual([]);
  },
);

test.skipIf(!isBuilt)(
  "one run of a comparison is stopped on its page, and goes on elsewhere while the other trains",
  async () => {
    const options = ["--data", "text.txt", "--out", "runs/both", "--page", "0", ...tiny, "--steps", "100000"];
    const connections = ["--connections", "residual,mhc"];
    const { child, said, finished } = start(place.folder, ["compare", ...connections, ...options]);
    let stderr = "";
    child.stderr!.on("data", (text: string) => (stderr += text));
    await said("Live page: ");
    const [url] = /http:\S+/.exec(stderr)!;
    const cards = async (): Promise<Record<string, RunCard>> => {
      const { cards } = (await (await fetch(`${url}api/runs`)).json()) as { cards: RunCard[] };
      return Object.fromEntries(cards.map((card) => [card.id.split("/").at(-1), card]));
    };
    const ask = async (body: unknown): Promise<unknown> => {
      const headers = { origin: new URL(url).origin, "content-type": "application/json" };
      return fetch(`${url}api/control`, { method: "POST", headers, body: JSON.stringify(body) });
    };
    await expect.poll(async () => (await cards()).mhc?.step, { timeout: 30_000 }).toBeGreaterThan(3);
    await ask({ action: "stop", run: "both/mhc" });
    await expect.poll(async () => (await cards()).mhc?.state).toBe("stopped");
    expect(fs.readdirSync(place.at("runs", "both", "mhc", "checkpoints"))).not.toEqual([]);
    const { mhc, residual } = await cards();
    await expect.poll(async () => (await cards()).residual?.step).toBeGreaterThan(residual!.step);
    expect((await cards()).mhc!.step).toBe(mhc!.step);
    // Its folder is free: another process finds it and the lock of the one that trains.
    const other = start(place.folder, ["train", "--resume", "runs/both/mhc"]);
    await expect.poll(async () => (await cards()).mhc!.step, { timeout: 30_000 }).toBeGreaterThan(mhc!.step);
    expect(await cards()).toMatchObject({ mhc: { controlled: false }, residual: { controlled: true } });
    other.child.kill("SIGINT");
    expect((await other.finished).code).toBe(130);
    await ask({ action: "stop" });
    const { code, stdout } = await finished;
    expect(code).toBe(130);
    expect(stderr).toMatch(/mhc is stopped and saved at step \d+; the others go on\./);
    expect(stdout).toMatch(/mhc \(stopped\)/);
    expect(stdout).toContain("Continue: birkhoff compare --resume runs/both");
  },
);

test.skipIf(!isBuilt)("serve answers on a free port and ends with Ctrl-C", async () => {
  fs.mkdirSync(place.at("none"));
  const { child, finished } = start(place.folder, ["serve", "none", "--port", "0", "--json"]);
  const url = await new Promise<string>((resolve) => {
    child.stdout!.once("data", (text: string) => resolve((JSON.parse(text) as { url: string }).url));
  });
  expect(await (await fetch(url)).text()).toContain("<title>Birkhoff</title>");
  child.kill("SIGINT");
  expect((await finished).code).toBe(0);
});

test("serve --api answers with a run's checkpoint, and at SIGTERM finishes what it has begun", async () => {
  const trained = await run(place.folder, [
    "train",
    "--data",
    "text.txt",
    "--out",
    "runs/served",
    ...tiny,
    "--context",
    "300",
    "--steps",
    "2",
  ]);
  expect(trained.code).toBe(0);
  const { child, finished, said } = start(place.folder, ["serve", "runs/served", "--api", "--port", "0", "--json"]);
  const { url, model } = await new Promise<{ url: string; model: string }>((resolve) => {
    child.stdout!.once("data", (text: string) => resolve(JSON.parse(text) as { url: string; model: string }));
  });
  await said("Answering requests of its own");
  const counts = await (await fetch(`${url}metrics`)).text();
  expect(counts).toContain("birkhoff_serve_written_tokens_total 0\n");
  // Another is told so before it warms up.
  const other = await run(place.folder, ["serve", "runs/served", "--api", "--port", new URL(url).port]);
  expect(other).toMatchObject({ code: 1, stderr: expect.stringMatching(/^birkhoff: Port \d+ is taken, [^\n]*\n$/) });
  const ask = (body: object): Promise<Response> =>
    fetch(`${url}v1/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ model, prompt: "the", ...body }),
    });
  const answer = await ask({ max_tokens: 299, stream: true, n: 20, ignore_eos: true });
  child.kill("SIGTERM");
  await said("Finishing");
  await expect(ask({}).then(({ status }) => status)).resolves.toBe(503);
  const text = await answer.text();
  expect(text.match(/"finish_reason":"length"/g)).toHaveLength(20);
  expect(text).toMatch(/data: \[DONE\]\n\n$/);
  expect((await finished).code).toBe(0);
}, 120_000);

test.skipIf(!isBuilt)("mistakes are answered by one line", async () => {
  const answers = {
    "serve nowhere": /^birkhoff: Cannot read nowhere: .*birkhoff serve FOLDER\n$/,
    "serve . --host 0.0.0.0 --token short": /^birkhoff: --token needs at least 8 characters.\n$/,
    "serve . --slots 4": /^birkhoff: --slots cannot be used without --api. Leave it out.\n$/,
    "serve . --no-warm-up": /^birkhoff: --no-warm-up cannot be used without --api. Leave it out.\n$/,
    "serve . --api --host 0.0.0.0": /^birkhoff: --host 0.0.0.0: .* add --public and --key/,
    "serve . --api --host 0.0.0.0 --public": /^birkhoff: --host 0.0.0.0: other machines need a key/,
    "serve . --api --public": /^birkhoff: --public: --host 127.0.0.1 is reached from this machine only; add/,
    "serve . --api --key short": /^birkhoff: --key has 5 characters; give a key of at least 8\.\n$/,
    "serve . --port 70000": /It must be a whole number from 0 to 65535/,
  };
  for (const [args, message] of Object.entries(answers)) {
    const { code, stderr } = await run(place.folder, args.split(" "));
    expect([code, args]).toEqual([1, args]);
    expect(stderr).toMatch(message);
  }
});

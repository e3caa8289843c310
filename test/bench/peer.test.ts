import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { afterAll, afterEach, describe, expect, it, vi } from "vitest";
import { contestant, type Peer, startPeer, threadEnvironment } from "../../bench/lib/peer.ts";
import { figureJson } from "../../bench/lib/report.ts";

const folder = mkdtempSync(join(tmpdir(), "birkhoff-peer-"));
afterAll(() => rmSync(folder, { recursive: true }));
afterEach(() => vi.unstubAllEnvs());

/** Writes a peer of one's own and gives its path. */
function script(name: string, body: string): string {
  const path = join(folder, name);
  writeFileSync(path, body);
  return path;
}

const hello = `{ ready: true, peer: "test", versions: {}, threads: 1, base_rss_bytes: 1 }`;
const answering = (body: string): string => `
import { createInterface } from "node:readline";
const say = (message: object) => console.log(JSON.stringify(message));
console.log("a library's chatter");
say(${hello});
for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  ${body}
}
`;

async function started(path: string, args: string[] = [], ...rest: [Record<string, string>?, object?]): Promise<Peer> {
  const peer = await startPeer(path, args, ...rest);
  if ("skipped" in peer) throw new Error(peer.skipped);
  return peer;
}

describe("a peer that cannot be had is skipped with a reason", () => {
  const python = new URL("../../bench/peers/serve.py", import.meta.url);

  it("Python is missing", async () => {
    vi.stubEnv("BIRKHOFF_PYTHON", join(folder, "no-such-python"));
    const peer = await startPeer(python, ["step"]);
    expect(peer).toEqual({
      skipped: expect.stringMatching(/no-such-python cannot be run; .*BIRKHOFF_PYTHON/) as string,
    });
    const figure = { name: "step.mhc.vs_torch_eager", skipped: (peer as { skipped: string }).skipped };
    expect(JSON.parse(figureJson(figure))).toEqual(figure);
  });

  it("a library is missing: the peer itself says so", async () => {
    const path = script("without.ts", `console.log(JSON.stringify({ skipped: "torch cannot be imported" }));`);
    expect(await startPeer(path, [])).toEqual({ skipped: "torch cannot be imported" });
  });

  it("it breaks before it is ready", async () => {
    const path = script("broken.ts", `console.error("Traceback\\nout of luck"); process.exit(3);`);
    expect(await startPeer(path, ["step"])).toEqual({ skipped: "broken.ts step ended (exit code 3): out of luck" });
  });

  it("it throws: the error is the reason, not the stack below it", async () => {
    const path = script("throws.ts", `throw new TypeError("out of luck");`);
    expect(await startPeer(path, ["--fast"])).toEqual({
      skipped: "throws.ts ended (exit code 1): TypeError: out of luck",
    });
  });

  it("it is not ready in time", async () => {
    const path = script("slow.ts", `setInterval(() => {}, 1000);`);
    expect(await startPeer(path, [], {}, { readySeconds: 0.2 })).toEqual({
      skipped: "slow.ts gave no answer within 0.2 s",
    });
  });
});

describe("a running peer", () => {
  it("answers requests in turn and sees its environment", async () => {
    const path = script(
      "echo.ts",
      answering(`say({ ms: Array(request.count).fill(Number(process.env.OMP_NUM_THREADS)), peak_rss_bytes: 2 });`),
    );
    const peer = await started(path, [], threadEnvironment(7));
    expect(peer.hello.peer).toBe("test");
    expect(await peer.run({ op: "step", count: 2 })).toEqual({ ms: [7, 7], peak_rss_bytes: 2 });
    expect(await contestant(peer, "a", { op: "step", count: 3 }).measure()).toEqual([7, 7, 7]);
    await peer.close();
  });

  it("rejects what the peer refuses, and its death, and its silence", async () => {
    const path = script(
      "moody.ts",
      answering(`
  if (request.op === "die") process.exit(9);
  if (request.op === "refuse") say({ error: "not I" });`),
    );
    const peer = await started(path);
    await expect(peer.run({ op: "refuse", count: 1 })).rejects.toThrow(
      'moody.ts refused {"op":"refuse","count":1}: not I',
    );
    await expect(peer.run({ op: "die", count: 1 })).rejects.toThrow("moody.ts ended (exit code 9)");
    await peer.close();

    const silent = await started(path, [], {}, { replySeconds: 0.2 });
    await expect(silent.run({ op: "wait", count: 1 })).rejects.toThrow("no answer within 0.2 s");
    await silent.close();
  });

  it("is gone after close, even if it does not listen", async () => {
    const path = script(
      "deaf.ts",
      `console.log(JSON.stringify({ ...${hello}, threads: process.pid })); setInterval(() => {}, 1000);`,
    );
    const peer = await started(path);
    await peer.close();
    await peer.close();
    expect(() => process.kill(peer.hello.threads, 0)).toThrow("ESRCH");
  });
});

describe("a peer written with serve", () => {
  const serving = (start: string): string =>
    `import { serve, Skip } from ${JSON.stringify(pathToFileURL(join(import.meta.dirname, "../../bench/lib/serve.ts")).href)};
await serve("step", async () => { ${start} });`;

  it("does the work as often as asked and reports its time and memory", async () => {
    const path = script(
      "work.ts",
      serving(`
  let steps = 0;
  return { hello: { peer: "node", versions: { our: "1" }, threads: 1 }, run: async () => ({ loss: ++steps }) };`),
    );
    const peer = await started(path);
    expect(peer.hello).toMatchObject({ peer: "node", versions: { our: "1", node: process.versions.node } });
    const reply = await peer.run({ op: "step", count: 3 });
    expect(reply.ms).toHaveLength(3);
    expect(reply.loss).toBe(3);
    expect(reply.peak_rss_bytes).toBeGreaterThanOrEqual(peer.hello.base_rss_bytes);
    await expect(peer.run({ op: "gemm", count: 1 })).rejects.toThrow('does "step", not "gemm"');
    await peer.close();
  });

  it("says why it cannot", async () => {
    const path = script("cannot.ts", serving(`throw new Skip("no such backend");`));
    expect(await startPeer(path, [])).toEqual({ skipped: "no such backend" });
  });
});

it("is our server: with its threads it ends with its input", async () => {
  const script = fileURLToPath(new URL("../../bench/peers/our-serve.ts", import.meta.url));
  const sizes = "--layers 1 --channels 16 --heads 2 --tokens 32 --vocabulary 300 --prompt 4 --written 4 --clients 2";
  const child = spawn(process.execPath, [script, ...sizes.split(" "), "--threads", "2", "--connection", "residual"]);
  let said = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (said += text));
  child.stdin.end('{"op":"serve","count":2}\n');
  const [code] = (await once(child, "close")) as [number | null];
  expect(code).toBe(0);
  const [hello, reply] = said
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(hello).toMatchObject({ ready: true, threads: 2 });
  expect(reply).toMatchObject({ written: 8, ms: [expect.any(Number), expect.any(Number)] });
}, 60_000);

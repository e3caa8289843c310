import { afterEach, describe, expect, it, vi } from "vitest";
import { bench, figureNames } from "../../bench/main.ts";
import { startPeer } from "../../bench/lib/peer.ts";

afterEach(() => vi.unstubAllEnvs());

describe("bench", () => {
  it("has the figures by which this library is judged", () => {
    expect(figureNames).toEqual(
      expect.arrayContaining([
        "gemm.1024.t1.vs_openblas",
        "step.residual.vs_torch_eager",
        "step.mhc.vs_torch_eager",
        "step.mhc.vs_torch_compile",
        "step.mhc.vs_residual",
        "step.memory.vs_torch",
        "step.javascript_share",
        "step.cold_seconds",
        "generate.decode.vs_torch",
        "generate.p99_over_p50",
        "eval.golden_mismatches",
        "eval.tokens_per_second",
        "mhc.overhead.c256",
        "mhc.overhead.c512",
        "mhc.overhead.c1280",
        "mhc.memory.recompute",
        "plan.bytes_error",
        "plan.time_error",
        "sinkhorn.vs_torch_eager",
        "stream.bandwidth_share",
        "data.read.vs_step",
        "data.wait_share",
        "data.tokenize.vs_tokenizers_js",
        "data.tokenize.vs_tokenizers",
        "package.installed_mib",
        "package.cli_start_seconds",
        "manifold.sinkhorn.n4",
        "manifold.birkhoff-newton.n8",
      ]),
    );
    expect(new Set(figureNames).size).toBe(figureNames.length);
  });

  it("names all figures when a prefix fits none", async () => {
    await expect(bench(["gem", "steps"], {})).rejects.toThrow(
      /"steps"; the figures are:\n(.*\n)*  step\.cold_seconds\n/,
    );
  });

  it("refuses rounds that cannot be", async () => {
    await expect(bench([], { rounds: 0 })).rejects.toThrow("--rounds is 0; it must be a whole number of at least 1");
    await expect(bench([], { rounds: Number("x") })).rejects.toThrow("--rounds is NaN");
  });

  it("times a choice for H_res beside Sinkhorn", async () => {
    const out: string[] = [];
    const stdout = vi.spyOn(process.stdout, "write").mockImplementation((text) => out.push(String(text)) > 0);
    const stderr = vi.spyOn(process.stderr, "write").mockReturnValue(true);
    try {
      await bench(["manifold.circulant.n4"], { json: true, rounds: 1 });
    } finally {
      stdout.mockRestore();
      stderr.mockRestore();
    }
    const [figure] = out.map((line) => JSON.parse(line));
    expect(figure).toMatchObject({ name: "manifold.circulant.n4", unit: "ns/token", theirs: { label: "sinkhorn" } });
    expect(figure.value).toBeGreaterThan(0);
  });

  it("prints why a figure was skipped where its peer is missing", async () => {
    vi.stubEnv("BIRKHOFF_PYTHON", "/no/such/python");
    const out: string[] = [];
    const stdout = vi.spyOn(process.stdout, "write").mockImplementation((text) => out.push(String(text)) > 0);
    const stderr = vi.spyOn(process.stderr, "write").mockReturnValue(true);
    try {
      await bench(["gemm.1024.t1.vs_openblas"], { json: true, rounds: 1 });
    } finally {
      stdout.mockRestore();
      stderr.mockRestore();
    }
    expect(out).toHaveLength(1);
    expect(JSON.parse(out[0]!)).toEqual({
      name: "gemm.1024.t1.vs_openblas",
      skipped: expect.stringContaining("/no/such/python cannot be run") as string,
    });
  });
});

describe("our own side", () => {
  const tiny = [
    "--layers",
    "1",
    "--channels",
    "64",
    "--heads",
    "2",
    "--tokens",
    "32",
    "--batch",
    "2",
    "--vocabulary",
    "64",
  ];

  it.each(["residual", "hc", "mhc"])("trains a small %s model and says where the time went", async (connection) => {
    const script = new URL("../../bench/peers/our-step.ts", import.meta.url);
    const peer = await startPeer(script, ["--connection", connection, ...tiny]);
    if ("skipped" in peer) throw new Error(peer.skipped);
    const { cold_seconds, start_seconds, parameters, loss } = peer.hello;
    expect(cold_seconds! > 0 && start_seconds! > 0 && parameters! > 0).toBe(true);
    const reply = await peer.run({ op: "step", count: 20 });
    expect(reply.loss).toBeLessThan(loss!);
    expect(reply.javascript_ms).toBeGreaterThan(0);
    expect(reply.javascript_ms).toBeLessThan(reply.step_ms!);
    await peer.close();
  });

  it.each(["residual", "mhc"])("writes with a small %s model and says how long each token took", async (connection) => {
    const script = new URL("../../bench/peers/our-generate.ts", import.meta.url);
    const sizes = tiny.filter((_, index) => index < 8 || index > 9);
    const peer = await startPeer(script, ["--connection", connection, ...sizes, "--written", "50"]);
    if ("skipped" in peer) throw new Error(peer.skipped);
    expect(peer.hello.parameters).toBeGreaterThan(0);
    const { token_ms } = await peer.run({ op: "generate", count: 1 });
    expect(token_ms).toHaveLength(50);
    expect(Math.min(...token_ms!)).toBeGreaterThan(0);
    await peer.close();
  });

  it.each(["1", "2"])("multiplies matrices exactly on %s threads, whatever their size", async (threads) => {
    const n = 65;
    const peer = await startPeer(new URL("../../bench/peers/our-gemm.ts", import.meta.url), [
      "--size",
      `${n}`,
      "--threads",
      threads,
    ]);
    if ("skipped" in peer) throw new Error(peer.skipped);
    const a = (k: number): number => ((7 * (n - 1) + 3 * k) % 13) - 6;
    const b = (k: number): number => ((5 * k + 11 * (n - 1)) % 17) - 8;
    const expected = Array.from({ length: n }, (_, k) => a(k) * b(k)).reduce((sum, x) => sum + x, 0);
    expect((await peer.run({ op: "gemm", count: 2 })).corner).toBe(expected);
    await peer.close();
  });
});

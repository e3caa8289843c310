// How a command ends before its time: real signals, pipes, terminals and full disks, and real child processes.

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import fs from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { losses, main, makeWorkplace, run, start, tiny } from "./cli.ts";

const place = makeWorkplace();
afterAll(() => place.remove());

const long = ["--data", "text.txt", ...tiny, "--steps", "100000", "--checkpoint-every", "50000"];
const trainInto = (folder: string): string[] => ["train", ...long, "--out", folder];
const pause = (milliseconds: number): Promise<void> => new Promise((resolve) => void setTimeout(resolve, milliseconds));
const isBusy = (folder: string): boolean => fs.existsSync(place.at(folder, "lock"));
const stepsOf = (folder: string): number =>
  fs.existsSync(place.at(folder, "metrics.jsonl")) ? losses(place.at(folder)).length : 0;
const someSteps = (folder: string): Promise<void> =>
  expect.poll(() => stepsOf(folder), { timeout: 45_000 }).toBeGreaterThan(2);
const ended = (child: ChildProcess): Promise<{ code: number | null; signal: string | null }> =>
  new Promise((resolve) => void child.once("close", (code, signal) => resolve({ code, signal })));

/** Everything done is saved, and the folder is free. */
function expectSaved(folder: string): void {
  const done = stepsOf(folder);
  expect(fs.readdirSync(place.at(folder, "checkpoints"))).toEqual([`step-${done}`]);
  expect(isBusy(folder)).toBe(false);
}

describe("training saves, unlocks its folder and says by its exit code why it ended", () => {
  test.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
    ["SIGHUP", 129],
  ] as const)("%s: %i; --resume goes on", async (signal, code) => {
    const folder = `runs/${signal}`;
    const { child, finished } = start(place.folder, trainInto(folder));
    await someSteps(folder);
    child.kill(signal);
    const { stdout, stderr, ...how } = await finished;
    expect(how).toEqual({ code, signal: null });
    expect(stderr).toMatch(/Stopped after \d+ s; every run is saved\.\n$/);
    expect(stdout).toContain(`Continue: birkhoff train --resume ${folder}\n`);
    expectSaved(folder);

    const before = stepsOf(folder);
    const more = await run(place.folder, ["train", "--resume", folder, "--steps", String(before + 2), "--json"]);
    expect(more.code, more.stderr).toBe(0);
    expect(stepsOf(folder)).toBe(before + 2);
  });

  test("a reader that goes away, as head does: 141", async () => {
    const { child, finished } = start(place.folder, trainInto("runs/pipe"));
    await someSteps("runs/pipe");
    // The next line for a pipe comes within ten seconds.
    child.stderr!.destroy();
    expect(await finished).toMatchObject({ code: 141, signal: null });
    expectSaved("runs/pipe");
  });

  test("a reader of --json that goes away: 141", async () => {
    const { child, finished } = start(place.folder, [...trainInto("runs/json"), "--json"]);
    await someSteps("runs/json");
    child.stdout!.destroy();
    expect(await finished).toMatchObject({ code: 141, signal: null });
    expectSaved("runs/json");
  });

  test("a pipe closed by head, in a shell", async () => {
    const command = [process.execPath, main, ...trainInto("runs/head"), "--json"].join(" ");
    const { stdout } = spawnSync("bash", ["-c", `${command} 2>&1 | head -8; echo \${PIPESTATUS[0]}`], {
      cwd: place.folder,
      encoding: "utf8",
    });
    const lines = stdout.trim().split("\n");
    expect(lines).toHaveLength(9);
    expect(lines.at(-1)).toBe("141");
    expectSaved("runs/head");
  });

  test.skipIf(!fs.existsSync("/dev/full"))("a full disk behind the output: 1, and why", async () => {
    const output = fs.openSync("/dev/full", "w");
    const child = spawn(process.execPath, [main, ...trainInto("runs/full"), "--json"], {
      cwd: place.folder,
      stdio: ["ignore", output, "pipe"],
    });
    let said = "";
    child.stderr!.setEncoding("utf8").on("data", (text: string) => (said += text));
    expect(await ended(child)).toEqual({ code: 1, signal: null });
    fs.closeSync(output);
    expect(said).toContain("birkhoff: cannot write to standard output: the disk is full\n");
    expectSaved("runs/full");
  });

  const hasScript = spawnSync("script", ["--version"]).status === 0;
  test.skipIf(!hasScript)("a terminal that vanishes", async () => {
    const command = [process.execPath, main, ...trainInto("runs/gone")].join(" ");
    const terminal = spawn("script", ["-qc", `stty cols 80; exec ${command}`, "/dev/null"], {
      cwd: place.folder,
      stdio: ["pipe", "ignore", "ignore"],
    });
    await someSteps("runs/gone");
    terminal.kill("SIGKILL");
    await expect.poll(() => isBusy("runs/gone"), { timeout: 20_000 }).toBe(false);
    expectSaved("runs/gone");
  });

  test("what follows && does not begin", async () => {
    const command = `${process.execPath} ${main} ${trainInto("runs/and").join(" ")} && touch went-on`;
    const shell = spawn("sh", ["-c", command], { cwd: place.folder, stdio: "ignore", detached: true });
    const end = ended(shell);
    await someSteps("runs/and");
    // As a terminal does: to the whole group.
    process.kill(-shell.pid!, "SIGTERM");
    await end;
    await expect.poll(() => isBusy("runs/and"), { timeout: 20_000 }).toBe(false);
    expectSaved("runs/and");
    expect(fs.existsSync(place.at("went-on"))).toBe(false);
  });
});

describe("other commands", () => {
  test("compare: every run is saved, and the tip goes on with all of them", async () => {
    const args = ["compare", ...long, "--out", "runs/both", "--connections", "residual,hc"];
    const { child, finished } = start(place.folder, args);
    await someSteps("runs/both/hc");
    child.kill("SIGHUP");
    const { code, stdout } = await finished;
    expect(code).toBe(129);
    expect(stdout).toContain("Continue: birkhoff compare --resume runs/both\n");
    for (const name of ["residual", "hc"]) expectSaved(`runs/both/${name}`);
  });

  test("sample writes no more and ends", async () => {
    const { child, finished } = start(place.folder, [
      "sample",
      "runs/both/hc",
      "--tokens",
      "100000000",
      "--threads",
      "1",
    ]);
    await new Promise((resolve) => child.stdout!.once("data", resolve));
    child.kill("SIGINT");
    const { code, stdout } = await finished;
    expect(code).toBe(130);
    expect(stdout).toMatch(/\n$/);
    const piped = start(place.folder, ["sample", "runs/both/hc", "--tokens", "100000000", "--threads", "1"]);
    await new Promise((resolve) => piped.child.stdout!.once("data", resolve));
    piped.child.stdout!.destroy();
    expect((await piped.finished).code).toBe(141);
  });

  test("intervene shows what it has measured, and keeps nothing", async () => {
    // A row takes milliseconds: enough of them for half a minute.
    const sets = Array.from({ length: 400 }, () => ["--sublayers", "each"]).flat();
    const args = ["intervene", "runs/both/hc", "identity", "mean", "uniform", "swap:0-1", "swap:0-2", ...sets];
    const { child, finished } = start(place.folder, [...args, "--threads", "1", "--cache", "cache"]);
    await pause(2000);
    child.kill("SIGTERM");
    const { code, signal } = await finished;
    // Before it listens the system ends it.
    expect([143, null]).toContain(code);
    expect(code ?? signal).toBe(code === null ? "SIGTERM" : 143);
    expect(fs.existsSync(place.at("runs/both/hc/interventions.json"))).toBe(false);
  });

  test("plan and schedule end at once where nobody reads", () => {
    for (const command of ["plan", "schedule"]) {
      const { stdout } = spawnSync(
        "bash",
        ["-c", `${process.execPath} ${main} ${command} | true; echo \${PIPESTATUS[0]}`],
        {
          encoding: "utf8",
        },
      );
      expect([command, stdout]).toEqual([command, "141\n"]);
    }
  });
});

describe("the second request", () => {
  const source = fileURLToPath(new URL("../../src/cli/interrupt.ts", import.meta.url));
  /** A process that listens and works on for 10 seconds, whatever it is asked. */
  async function busy(atFirst = ""): Promise<{ child: ChildProcess; end: ReturnType<typeof ended> }> {
    const program = `import { listenForInterrupt } from ${JSON.stringify(source)};
      const { signal } = listenForInterrupt();
      signal.addEventListener("abort", () => { ${atFirst}; process.stdout.write("asked\\n"); });
      setTimeout(() => {}, 10_000);
      process.stdout.write("ready\\n");`;
    const child = spawn(process.execPath, ["--input-type=module", "-e", program], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    const end = ended(child);
    await new Promise((resolve) => child.stdout.once("data", resolve));
    return { child, end };
  }

  test.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const)("%s leaves at once, but not within 300 ms of the first: npm forwards signals", async (signal, code) => {
    const { child, end } = await busy();
    child.kill(signal);
    await pause(50);
    child.kill(signal);
    await pause(1500);
    expect(child.exitCode).toBe(null);
    child.kill(signal);
    expect(await end).toEqual({ code, signal: null });
  });

  test("a signal forwarded during a long step belongs to the first", async () => {
    const { child, end } = await busy("const until = performance.now() + 1000; while (performance.now() < until);");
    child.kill("SIGINT");
    await pause(100);
    child.kill("SIGINT");
    await pause(1800);
    expect(child.exitCode).toBe(null);
    child.kill("SIGINT");
    expect((await end).code).toBe(130);
  });

  test("a terminal that closes says so twice, and that is no hurry", async () => {
    const { child, end } = await busy();
    child.kill("SIGHUP");
    await pause(1000);
    child.kill("SIGHUP");
    await pause(500);
    expect(child.exitCode).toBe(null);
    child.kill("SIGKILL");
    await end;
  });

  test("a folder is unlocked by a process that leaves at once", async () => {
    const lock = fileURLToPath(new URL("../../src/files/lock.ts", import.meta.url));
    const program = `import { lockFolder } from ${JSON.stringify(lock)}; lockFolder(${JSON.stringify(place.folder)}); process.exit(3);`;
    const { status } = spawnSync(process.execPath, ["--input-type=module", "-e", program]);
    expect(status).toBe(3);
    expect(isBusy(".")).toBe(false);
  });
});

// A lock has at most one holder, whatever lay there before and however many processes come at one instant.

import { type ChildProcess, fork, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { Worker } from "node:worker_threads";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, test } from "vitest";
import { sha256 } from "../../src/files/hash.ts";
import { holderOf, isAlive, lockFolder } from "../../src/files/lock.ts";
import type { FromContender, ToContender } from "./contender.ts";

const ROUNDS = 50;
const CONTENDERS = 4;

let parent: string;
beforeEach(() => {
  parent = fs.mkdtempSync(path.join(os.tmpdir(), "birkhoff-lock-"));
});
afterEach(() => fs.rmSync(parent, { recursive: true }));

/** The number of a process that has ended. */
const deadPid = (): number => spawnSync(process.execPath, ["-e", ""]).pid;

describe("processes that come at one instant", () => {
  let contenders: ChildProcess[];
  beforeAll(async () => {
    const program = new URL("./contender.ts", import.meta.url);
    contenders = Array.from({ length: CONTENDERS }, () => fork(program, { execArgv: typed() }));
    await Promise.all(contenders.map((child) => once(child, "message")));
  });
  afterAll(() => contenders.forEach((child) => child.kill()));

  /** Node from 22.18 on strips types by itself. */
  const typed = (): string[] => process.execArgv.filter((option) => option.startsWith("--experimental-strip-types"));
  const ask = async (child: ChildProcess, message: ToContender): Promise<FromContender> => {
    const answer = once(child, "message") as Promise<[FromContender]>;
    child.send(message);
    return (await answer)[0];
  };

  const dead = deadPid();
  const here = { host: os.hostname(), started: "1" };
  const before: Readonly<Record<string, string | undefined>> = {
    "no lock": undefined,
    "the lock of a process that has ended": JSON.stringify({ ...here, pid: dead }),
    "the lock of an earlier process of a living one's number": JSON.stringify({ ...here, pid: process.pid }),
    "an empty lock": "",
    "a torn lock": '{"pid":',
  };
  test.each(Object.entries(before))(
    `${ROUNDS} rounds over %s have one holder each`,
    { timeout: 120_000 },
    async (_, content) => {
      for (let round = 0; round < ROUNDS; round++) {
        const folder = path.join(parent, String(round));
        fs.mkdirSync(folder);
        if (content !== undefined) fs.writeFileSync(path.join(folder, "lock"), content);
        const several = contenders.slice(0, 2 + (round % (CONTENDERS - 1)));
        const at = Date.now() + 5;
        const answers = await Promise.all(several.map((child) => ask(child, { folder, at })));
        const holders = several.filter((_child, index) => (answers[index] as { holds: boolean }).holds);
        expect(holders, JSON.stringify(answers)).toHaveLength(1);
        const { pid } = JSON.parse(fs.readFileSync(path.join(folder, "lock"), "utf8")) as { pid: number };
        expect(pid).toBe(holders[0]!.pid);
        // The others cannot unlock what they do not hold.
        for (const child of several) if (child !== holders[0]) await ask(child, "unlock");
        expect(fs.readdirSync(folder)).toEqual(["lock"]);
        await ask(holders[0]!, "unlock");
        expect(fs.readdirSync(folder)).toEqual([]);
      }
    },
  );

  test("none of them takes the lock of another machine", async () => {
    const content = JSON.stringify({ pid: dead, host: "elsewhere", started: "1" });
    fs.writeFileSync(path.join(parent, "lock"), content);
    const at = Date.now() + 5;
    const answers = await Promise.all(contenders.map((child) => ask(child, { folder: parent, at })));
    for (const answer of answers) expect(answer).toMatchObject({ holds: false });
    expect(JSON.stringify(answers)).toContain("on elsewhere");
    expect(fs.readFileSync(path.join(parent, "lock"), "utf8")).toBe(content);
    expect(fs.readdirSync(parent)).toEqual(["lock"]);
  });
});

it("unlocks only its own lock", () => {
  const unlock = lockFolder(parent);
  const file = path.join(parent, "lock");
  // Deleted by hand; another process has the folder now.
  const other = fs.readFileSync(file, "utf8").replace(/"nonce":"[^"]*"/, '"nonce":"another"');
  fs.writeFileSync(file, other);
  unlock();
  expect(fs.readFileSync(file, "utf8")).toBe(other);
});

it("keeps another thread of the same process out", { timeout: 20_000 }, async () => {
  const unlock = lockFolder(parent);
  const program = `
    import { lockFolder } from ${JSON.stringify(new URL("../../src/files/lock.ts", import.meta.url).href)};
    import { parentPort, workerData } from "node:worker_threads";
    try { lockFolder(workerData); parentPort.postMessage("holds"); } catch (error) { parentPort.postMessage(error.message); }`;
  const module = path.join(parent, "thread.mts");
  fs.writeFileSync(module, program);
  const worker = new Worker(module, { workerData: parent });
  const [message] = (await once(worker, "message")) as [string];
  if (fs.existsSync("/proc/self/stat")) expect(message).toContain(`is in use by process ${process.pid}`);
  await worker.terminate();
  unlock();
});

it("passes over the claims of processes that have ended, and waits for those of living ones only so long", async () => {
  const claim = (pid: number, host: string): string => `.lock-${pid}-1-${sha256(host).slice(0, 8)}-0000`;
  fs.writeFileSync(path.join(parent, claim(deadPid(), os.hostname())), "");
  lockFolder(parent)();
  expect(fs.readdirSync(parent)).toEqual([]);
  // A claim of another machine may be alive for ever: the error says what to delete.
  fs.writeFileSync(path.join(parent, claim(1, "elsewhere")), "");
  const started = performance.now();
  expect(() => lockFolder(parent)).toThrow(/is being locked by another process.*delete the files .*\.lock-\*/);
  expect(performance.now() - started).toBeLessThan(15_000);
}, 30_000);

it.skipIf(!fs.existsSync("/proc/self/stat"))(
  "takes over the lock of a killed process nobody has waited for",
  async () => {
    // The shell becomes a program that never asks how its child ended.
    const shell = spawn("sh", ["-c", `"${process.execPath}" -e "console.log(process.pid)" & exec sleep 30`]);
    const [output] = (await once(shell.stdout, "data")) as [Buffer];
    const pid = Number(output.toString());
    const ended = async (): Promise<void> => {
      while (!/\) Z /.test(fs.readFileSync(`/proc/${pid}/stat`, "utf8")))
        await new Promise((done) => setTimeout(done, 10));
    };
    await ended();
    const stat = fs.readFileSync(`/proc/${pid}/stat`, "utf8");
    const started = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]!;
    const content = JSON.stringify({ pid, host: os.hostname(), started });
    expect(isAlive(pid)).toBe(false);
    expect(holderOf(content)).toBeUndefined();
    fs.writeFileSync(path.join(parent, "lock"), content);
    lockFolder(parent)();
    expect(fs.readdirSync(parent)).toEqual([]);
    shell.kill();
  },
  20_000,
);

// Question: how does a test start ranks as processes, and what do they do?

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import net from "node:net";
import { fileURLToPath } from "node:url";
import type { ConnectionKind } from "../../../src/connections/table.ts";
import type { GpuExchange } from "../../../src/runtime/collective/nccl/join.ts";
import type { MeshSize } from "../../../src/training/parallel/mesh.ts";
import type { Changes } from "../../training/tiny.ts";

/** What carries the ranks' messages. */
export type Carrier = "mpi" | "tcp";

/** What ranks train, and over what; told to "train" by the environment. */
export interface RankTraining {
  readonly kind: ConnectionKind;
  readonly changes: Changes;
  readonly steps: number;
  readonly exchange: GpuExchange;
  readonly mesh?: MeshSize;
}

/** What each rank tells of its training. */
export interface RankTrained {
  readonly rank: number;
  /** Of the collective. */
  readonly name: string;
  readonly losses: readonly number[];
  /** Of the parameters. */
  readonly hash: number;
  /** By messages between the processors. */
  readonly sentBytes: number;
}

export interface Ended {
  readonly code: number | null;
  readonly said: string;
}

const launcher: string = ["mpirun", "openmpi"].join(".");
export const hasMpi: boolean = spawnSync(launcher, ["--version"]).status === 0;
if (!hasMpi)
  process.stdout.write(
    "collectives over MPI are not tested: there is no mpirun.openmpi (apt-get install openmpi-bin)\n",
  );

const program = fileURLToPath(new URL("./rank-process.ts", import.meta.url));

/** A port that nobody listens on. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = net.createServer();
    server.on("error", reject).listen(0, () => {
      const { port } = server.address() as net.AddressInfo;
      server.close(() => resolve(port));
    });
  });
}

function endOf(child: ChildProcess, seconds: number): Promise<Ended> {
  let said = "";
  for (const stream of [child.stdout!, child.stderr!])
    stream.setEncoding("utf8").on("data", (text: string) => (said += text));
  const timer = setTimeout(() => child.kill("SIGKILL"), 1000 * seconds);
  return new Promise((resolve, reject) => {
    child.on("error", reject).on("close", (code) => {
      clearTimeout(timer);
      resolve({ code, said });
    });
  });
}

/**
 * Let N processes do what rank-process.ts knows by a name, and wait for all.
 *
 * @param seconds after which they are killed
 */
export async function runRanks(
  carrier: Carrier,
  size: number,
  what: string,
  environment: NodeJS.ProcessEnv = {},
  seconds = 60,
): Promise<Ended[]> {
  const env = { ...process.env, ...environment, BIRKHOFF_FAKE_CUDA_DEVICES: "4" };
  const spawned = (command: string, args: readonly string[], more: NodeJS.ProcessEnv = {}): Promise<Ended> =>
    endOf(spawn(command, args, { env: { ...env, ...more }, stdio: ["ignore", "pipe", "pipe"] }), seconds);
  if (carrier === "mpi") {
    const root = process.getuid?.() === 0 ? ["--allow-run-as-root"] : [];
    const options = ["-n", String(size), "--oversubscribe", "--bind-to", "none", ...root];
    const transport = ["--mca", "pml", "ob1", "--mca", "btl", "tcp,self,vader"];
    return [await spawned(launcher, [...options, ...transport, process.execPath, program, what])];
  }
  const port = await freePort();
  return Promise.all(
    Array.from({ length: size }, (_, rank) =>
      spawned(process.execPath, [program, what], {
        RANK: String(rank),
        WORLD_SIZE: String(size),
        LOCAL_RANK: String(rank),
        LOCAL_WORLD_SIZE: String(size),
        MASTER_ADDR: "127.0.0.1",
        MASTER_PORT: String(port),
      }),
    ),
  );
}

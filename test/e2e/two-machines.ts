// Question: how does a test have two machines?
//
// As two network namespaces with host names of their own, joined by a pair of virtual cards. A script takes the place of
// ssh. It needs root and the right to make namespaces; `undefined` where it lacks them.

import { execFileSync, spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";

export interface TwoMachines {
  /** Their addresses; the first is the one on which `words` run. */
  readonly addresses: readonly [string, string];
  /** The words that run a command on the first machine. */
  readonly words: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  /** Cut the cable. */
  cut(): void;
  remove(): void;
}

/** @param folder for what is mounted */
export function makeTwoMachines(folder: string): TwoMachines | undefined {
  const tag = (process.pid % 46656).toString(36);
  const names = [`bk${tag}a`, `bk${tag}b`] as const;
  const third = 1 + (process.pid % 250);
  const addresses = [`10.83.${third}.1`, `10.83.${third}.2`] as const;
  const run = (program: string, ...args: string[]): void => void execFileSync(program, args, { stdio: "pipe" });
  const ip = (text: string): void => run("ip", ...text.split(" "));
  const uts = (name: string): string => path.join(folder, `uts-${name}`);
  const remove = (): void => {
    for (const name of names) {
      spawnSync("ip", ["netns", "del", name]);
      spawnSync("umount", [uts(name)]);
    }
  };
  if (process.platform !== "linux" || process.getuid?.() !== 0) return undefined;
  try {
    for (const name of names) {
      ip(`netns add ${name}`);
      ip(`-n ${name} link set lo up`);
      fs.writeFileSync(uts(name), "");
      run("unshare", `--uts=${uts(name)}`, "hostname", name);
    }
    ip(`link add ${names[0]} netns ${names[0]} type veth peer name ${names[1]} netns ${names[1]}`);
    for (const [index, name] of names.entries()) {
      ip(`-n ${name} addr add ${addresses[index]}/24 dev ${name}`);
      ip(`-n ${name} link set ${name} up`);
    }
  } catch {
    remove();
    return undefined;
  }
  const enter = (name: string): string[] => ["nsenter", `--net=/run/netns/${name}`, `--uts=${uts(name)}`];
  const agent = path.join(folder, "agent");
  fs.writeFileSync(
    agent,
    `#!/bin/bash
while [[ "$1" == -* ]]; do shift; done
name=${names[0]}; [ "$1" = ${addresses[1]} ] && name=${names[1]}
shift
if [ $name = ${names[1]} ]; then
  # Refused is reached.
  ip netns exec ${names[0]} timeout 2 bash -c 'echo > /dev/tcp/${addresses[1]}/9' 2> /dev/null
  [ $? = 124 ] && { echo "no route to host" >&2; exit 255; }
fi
exec nsenter --net=/run/netns/$name --uts=${folder}/uts-$name sh -c "$*"
`,
    { mode: 0o755 },
  );
  const subnet = `10.83.${third}.0/24`;
  return {
    addresses,
    words: enter(names[0]),
    environment: {
      OMPI_MCA_plm_rsh_agent: agent,
      OMPI_MCA_oob_tcp_if_include: subnet,
      OMPI_MCA_btl_tcp_if_include: subnet,
      HYDRA_LAUNCHER: "ssh",
      HYDRA_LAUNCHER_EXEC: agent,
    },
    cut: () => ip(`-n ${names[1]} link set ${names[1]} down`),
    remove,
  };
}

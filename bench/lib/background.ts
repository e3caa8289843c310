// Question: how busy do other programs keep this machine while it is measured?
//
// The processors are watched in pauses, when every contestant sleeps. This matters: threads that wait for each other at
// barriers run many times slower when one of them has to share its core. A comparison on a busy machine therefore says
// more about how the contestants wait than about how fast they compute.

import { cpus } from "node:os";

export type Background = {
  /** Watches the processors during a pause in which the contestants do nothing. */
  readonly watch: (pause: Promise<unknown>) => Promise<void>;
  /** The share of all processors that was busy in the pauses, 0 to 1. */
  readonly share: () => number;
};

type Ticks = { readonly busy: number; readonly all: number };

function ticks(): Ticks {
  const times = cpus().map((cpu) => cpu.times);
  const all = times.reduce((sum, { user, nice, sys, idle, irq }) => sum + user + nice + sys + idle + irq, 0);
  return { busy: all - times.reduce((sum, { idle }) => sum + idle, 0), all };
}

export function createBackground(read: () => Ticks = ticks): Background {
  let [busy, all] = [0, 0];
  return {
    async watch(pause) {
      const before = read();
      await pause;
      const after = read();
      busy += after.busy - before.busy;
      all += after.all - before.all;
    },
    share: () => (all > 0 ? busy / all : 0),
  };
}

// Question: what does one of several processes do that want the same lock at the same instant?
//
// Told a folder and a time, it waits for the time and tries; it says whether it holds the lock; told to, it unlocks.

import { lockFolder } from "../../src/files/lock.ts";

export type ToContender = { readonly folder: string; readonly at: number } | "unlock";
export type FromContender = { readonly holds: boolean; readonly message: string } | "ready" | "unlocked";

const say = (message: FromContender): void => void process.send!(message);
let unlock: (() => void) | undefined;

process.on("message", (message: ToContender) => {
  if (message === "unlock") {
    unlock?.();
    unlock = undefined;
    return say("unlocked");
  }
  while (Date.now() < message.at);
  try {
    unlock = lockFolder(message.folder);
    say({ holds: true, message: "" });
  } catch (error) {
    say({ holds: false, message: (error as Error).message });
  }
});
say("ready");

// Question: how is a system error said in words, and which errors may be ignored?

import { ownEntry } from "../basics/objects.ts";

const reasons: Readonly<Record<string, string>> = {
  EACCES: "permission denied",
  EPERM: "not permitted",
  EROFS: "the file system is read-only",
  ENOSPC: "the disk is full",
  EDQUOT: "the disk quota is used up",
  ENOTDIR: "part of the path is a file, not a folder",
  EEXIST: "a file of that name is in the way",
  ENOENT: "there is no such file or folder",
  EISDIR: "it is a folder",
  ELOOP: "its symbolic links go in a circle",
};

/** What the engine says of what is too large for it, and the same in words. */
const engineReasons: readonly (readonly [RegExp, string])[] = [
  [/^Maximum call stack/, "it is nested too deeply"],
  [/^(Invalid (array|string|typed array) length|Array buffer allocation failed)/, "it is larger than memory can hold"],
];

/** A system error, or one of the engine, in words. */
export function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const system = "code" in error ? ownEntry(reasons, String(error.code)) : undefined;
  const engine = error instanceof RangeError && engineReasons.find(([says]) => says.test(error.message))?.[1];
  return system || engine || error.message;
}

/** Whether an error is the system's error with this code. */
export const hasCode = (error: unknown, code: string): boolean =>
  error instanceof Error && "code" in error && error.code === code;

/** Runs an action that should be done but may fail without harm. */
export function attempt(action: () => void): void {
  try {
    action();
  } catch {
    return;
  }
}

/** Errors that the engine makes of a program's own mistakes; this library throws none of them at a user. */
const mistakes: ReadonlySet<unknown> = new Set([TypeError, ReferenceError, SyntaxError, EvalError]);

/** What a person reads of an error that ended a command; a mistake of this library is called one. */
export function messageOf(error: unknown): string {
  // A system error that nobody has put in words names its file; the words alone would not.
  if (error instanceof Error && "code" in error) return error.message;
  if (!(error instanceof Error) || !mistakes.has(error.constructor)) return reason(error);
  return `a mistake of birkhoff itself (${error.name}: ${error.message}). Run the same command with --debug before its name, and report what it prints.`;
}

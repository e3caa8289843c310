// Question: where is what has been compiled for a GPU kept until the next start?
//
// In a folder, a file for each key: the SHA-256 of the content, then the content. One that is damaged counts as not
// there. Where nothing can be written nothing is kept, and the next start compiles again.

import { readFileSync, mkdirSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { writeFileAtomically } from "../../files/atomic.ts";
import { attempt } from "../../files/errors.ts";
import { newSha256, sha256 } from "../../files/hash.ts";

/** The environment variable that names the folder. */
export const CACHE_VARIABLE = "BIRKHOFF_CUDA_CACHE";

const HASH_BYTES = 32;

export interface Cache {
  readonly folder: string;
  /** The content of a key, if it is there and sound. */
  get(key: string): Uint8Array<ArrayBuffer> | undefined;
  put(key: string, content: Uint8Array): void;
}

export function openCache(environment: NodeJS.ProcessEnv = process.env): Cache {
  const home = environment.XDG_CACHE_HOME || path.join(os.homedir(), ".cache");
  const folder = environment[CACHE_VARIABLE] || path.join(home, "birkhoff", "cuda");
  const fileOf = (key: string): string => path.join(folder, sha256(key));
  return {
    folder,
    get(key) {
      let bytes: Uint8Array<ArrayBuffer> | undefined;
      attempt(() => (bytes = new Uint8Array(readFileSync(fileOf(key)))));
      const content = bytes?.subarray(HASH_BYTES);
      if (!bytes || !content) return undefined;
      return newSha256().update(content).digest().equals(bytes.subarray(0, HASH_BYTES)) ? content : undefined;
    },
    put(key, content) {
      attempt(() => {
        mkdirSync(folder, { recursive: true });
        writeFileAtomically(fileOf(key), Buffer.concat([newSha256().update(content).digest(), content]));
      });
    },
  };
}

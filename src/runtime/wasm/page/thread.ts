// Question: what does a thread of the CPU runtime do in a page?

import type { ThreadStart } from "../host.ts";
import { takePart } from "../take-part.ts";

globalThis.addEventListener(
  "message",
  ({ data }: MessageEvent<ThreadStart>) => takePart(data, () => globalThis.postMessage("ready")),
  { once: true },
);

// Question: how does a page talk to the worker that computes for it?

import { closedRuntime } from "../../program.ts";
import type { EngineOptions } from "../engine.ts";
import { cannotStart } from "../host.ts";
import type { Answers, Message, Orders, Place, Wrong } from "./orders.ts";

type Order = Exclude<keyof Orders, "start" | "read">;

/** The worker, with what it says of itself. */
export type Leader = Answers["ready"] & {
  /** @param transfer what goes over without a copy */
  send<K extends Order>(kind: K, order: Orders[K], transfer?: Transferable[]): void;
  /** Bytes as they are when all orders of before are done; or what went wrong in these. */
  read(places: readonly Place[]): Promise<readonly ArrayBuffer[] | Wrong>;
  /** Throw when the worker has ended. */
  expectThere(): void;
  /** End it, and the threads that it has started. */
  stop(): void;
};

/** Start the worker. */
export async function openLeader(options: EngineOptions): Promise<Leader> {
  const worker = new Worker(new URL("./leader.js", import.meta.url), { type: "module" });
  const post = (message: Message<Orders>, transfer: Transferable[] = []): void => worker.postMessage(message, transfer);
  const waiting = new Map<
    number,
    { resolve(answer: readonly ArrayBuffer[] | Wrong): void; reject(why: Error): void }
  >();
  let asked = 0;
  let ended: Error | undefined;
  const end = (why: Error): void => {
    ended ??= why;
    for (const { reject } of waiting.values()) reject(ended);
    waiting.clear();
  };
  const answer = (id: number, values: readonly ArrayBuffer[] | Wrong): void => {
    waiting.get(id)?.resolve(values);
    waiting.delete(id);
  };
  const ready = await new Promise<Answers["ready"]>((resolve, reject) => {
    const takers: { readonly [K in keyof Answers]: (said: Answers[K]) => void } = {
      ready: resolve,
      failed: ({ message }) => reject(new Error(message)),
      values: ({ id, values }) => answer(id, values),
      wrong: ({ id, wrong }) => answer(id, wrong),
    };
    const take = <K extends keyof Answers>(kind: K, said: Answers[K]): void => takers[kind](said);
    worker.addEventListener("message", ({ data }: MessageEvent<Message<Answers>>) => take(data.kind, data));
    worker.addEventListener("error", ({ message }) => {
      const why = message || "its script could not be loaded";
      end(new Error(`wasm: the worker that computes has ended (${why}); close this runtime and open another.`));
      reject(cannotStart(options.threads, new Error(why), "see whether the server sends the scripts of the package"));
    });
    post({ kind: "start", ...options });
  }).catch((error: unknown) => {
    worker.terminate();
    throw error;
  });
  return {
    ...ready,
    send: (kind, order, transfer) => post({ kind, ...order } as Message<Orders>, transfer),
    read: (places) =>
      new Promise((resolve, reject) => {
        const id = ++asked;
        waiting.set(id, { resolve, reject });
        post({ kind: "read", id, places });
      }),
    expectThere() {
      if (ended) throw ended;
    },
    stop() {
      end(closedRuntime("read", "wasm"));
      worker.terminate();
    },
  };
}

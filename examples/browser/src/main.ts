// Question: what does the page show?
//
// A text, a button, the loss while it falls, and then what the model writes. The address may choose: ?runtime=wasm,
// ?threads=1, ?steps=20, ?context=32, ?batch=4, ?layers=2, ?tokens=40, and ?in=page to train without a worker of its own.

import type { PageOptions } from "birkhoff/browser";
import { drawLosses } from "./chart.ts";
import text from "./text.txt?raw";
import { type Order, type Told, work } from "./worker.ts";

const form = document.querySelector("form")!;
const area = document.querySelector("textarea")!;
const runtime = document.querySelector("select")!;
const steps = document.querySelector("input")!;
const button = document.querySelector("button")!;
const chart = document.querySelector("svg")!;
const sample = document.querySelector("pre")!;
const status = document.querySelector<HTMLElement>("#status")!;

const address = new URLSearchParams(location.search);
const numberOf = (name: string): number | undefined => (address.has(name) ? Number(address.get(name)) : undefined);
area.value = text;
runtime.value = address.get("runtime") ?? "auto";
steps.value = address.get("steps") ?? steps.value;

/** In a worker; a page may do it itself as well, and does not freeze, for it leaves the computing to workers. */
function start(order: Order, tell: (told: Told) => void): void {
  if (address.get("in") === "page") return void work(order, tell);
  const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
  worker.addEventListener("message", ({ data }: MessageEvent<Told>) => {
    tell(data);
    if ("sample" in data || "error" in data) worker.terminate();
  });
  worker.addEventListener("error", ({ message }) => tell({ error: message || "the worker's script does not load" }));
  worker.postMessage(order);
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  button.disabled = true;
  status.textContent = "Reading the text …";
  sample.textContent = "";
  const losses: number[] = [];
  let device = "";
  const threads = numberOf("threads");
  const sizes = (["context", "batch", "layers", "tokens"] as const).flatMap((name) =>
    address.has(name) ? [[name, numberOf(name)]] : [],
  );
  const options: PageOptions = {
    runtime: runtime.value as NonNullable<PageOptions["runtime"]>,
    ...(threads === undefined ? {} : { threads }),
  };
  const wishes = {
    text: area.value,
    steps: Number(steps.value),
    ...Object.fromEntries(sizes),
  };
  const begun = performance.now();
  start({ options, wishes }, (told) => {
    if ("device" in told) device = told.device;
    if ("step" in told) {
      losses.push(told.loss);
      drawLosses(chart, losses, wishes.steps);
      const seconds = ((performance.now() - begun) / 1000).toFixed(1);
      status.textContent = `Step ${told.step} of ${wishes.steps}, loss ${told.loss.toFixed(3)}, ${seconds} s, ${device}`;
    }
    if ("sample" in told) sample.textContent = told.sample;
    if ("error" in told) status.textContent = told.error;
    if ("sample" in told || "error" in told) {
      button.disabled = false;
      // For programs that look at the page.
      document.body.dataset["losses"] = JSON.stringify(losses);
    }
  });
});

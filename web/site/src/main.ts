// Question: where does the site start?
//
// This file mounts the explanation and brings the service worker, which keeps the site for a tab without a network.

import { mount } from "svelte";
import { kindColours } from "../../../src/report/figures/palette.ts";
import Explanation from "./Explanation.svelte";
import { bringWorker } from "./lib/offline.ts";

// A connection has the same colour in every picture of the project.
for (const [kind, colour] of Object.entries(kindColours))
  document.documentElement.style.setProperty(`--${kind}`, colour);

mount(Explanation, { target: document.getElementById("app")! });
void bringWorker();

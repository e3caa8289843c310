// Question: where does the site start?
//
// This file mounts the explanation and brings the service worker, which keeps the site for a tab without a network.

import { mount } from "svelte";
import Explanation from "./Explanation.svelte";
import { bringWorker } from "./lib/offline.ts";
import { setColours } from "./lib/theme.ts";

setColours();
mount(Explanation, { target: document.getElementById("app")! });
void bringWorker();

// Question: where does the page that trains start?
//
// Threads need an isolated page. Where the server does not send the headers, the service worker does, from the second
// load on: so the first visit loads the page twice.

import { mount } from "svelte";
import { isolate } from "../lib/offline.ts";
import { setColours } from "../lib/theme.ts";
import Train from "./Train.svelte";

setColours();
if (!(await isolate())) mount(Train, { target: document.getElementById("app")! });

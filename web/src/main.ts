// Question: where does the live page start?
//
// This file mounts the application. state.svelte.ts holds what the page shows; lib/ fetches it.

import { mount } from "svelte";
import App from "./App.svelte";

// The token is now in a cookie, so it need not stay in the address.
const address = new URL(location.href);
if (address.searchParams.has("token")) {
  address.searchParams.delete("token");
  history.replaceState(null, "", address);
}

mount(App, { target: document.getElementById("app")! });

// The live page: mounts the application. What it shows is in state.svelte.ts, how it gets it in lib/.

import { mount } from "svelte";
import App from "./App.svelte";

// The token has become a cookie; it need not stay in the address.
const address = new URL(location.href);
if (address.searchParams.has("token")) {
  address.searchParams.delete("token");
  history.replaceState(null, "", address);
}

mount(App, { target: document.getElementById("app")! });

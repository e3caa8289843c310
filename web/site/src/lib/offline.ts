// Question: how does a page get its service worker?
//
// The worker (service-worker.ts) keeps every file of the site after the first load, and answers with the headers that
// isolate a page (COOP and COEP), without which a browser gives no shared memory to threads. Those headers come with the
// page's next load.

const RELOADED = "birkhoff-reloaded";

/**
 * Load the page once more if that isolates it; true while it does. It tries only once, for a browser that cannot isolate
 * a page this way can still train, with one thread.
 */
export async function isolate(): Promise<boolean> {
  const coming = bringWorker();
  if (globalThis.crossOriginIsolated) return false;
  await coming;
  if (document.documentElement.dataset.offline !== "ready") return false;
  if (sessionStorage.getItem(RELOADED) !== null) return false;
  sessionStorage.setItem(RELOADED, "");
  location.reload();
  return true;
}

/** Register the worker; where there is none (an old browser, a page that is no secure context), the site works online. */
export async function bringWorker(): Promise<void> {
  if (!("serviceWorker" in navigator)) return;
  try {
    const registration = await navigator.serviceWorker.register(new URL("service-worker.js", document.baseURI));
    if (await serves(registration)) document.documentElement.dataset.offline = "ready";
  } catch {
    // Private windows of some browsers refuse it, and a server for development has none.
  }
}

/** Whether there is a worker at last; the browser's own `ready` would wait for ever for one that cannot be installed. */
function serves({ active, waiting, installing }: ServiceWorkerRegistration): Promise<boolean> {
  const coming = waiting ?? installing;
  if (active || !coming) return Promise.resolve(active !== null);
  return new Promise((resolve) => {
    coming.addEventListener("statechange", () => {
      if (coming.state === "activated" || coming.state === "redundant") resolve(coming.state === "activated");
    });
  });
}

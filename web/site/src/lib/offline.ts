// Question: how does a page get its service worker?
//
// The worker (service-worker.ts) keeps every file of the site after the first load, and answers with the headers that
// isolate a page (COOP and COEP), without which a browser gives no shared memory to threads. Those headers come with the
// page's next load.

/** Register the worker; where there is none (an old browser, a page that is no secure context), the site works online. */
export async function bringWorker(): Promise<void> {
  if (!("serviceWorker" in navigator)) return;
  try {
    await navigator.serviceWorker.register(new URL("service-worker.js", document.baseURI));
    await navigator.serviceWorker.ready;
    document.documentElement.dataset.offline = "ready";
  } catch {
    // Private windows of some browsers refuse it, and a server for development has none.
  }
}

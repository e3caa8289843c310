// Question: how does the site work without a network, and how does a page of a plain static host become isolated?
//
// When it is installed, the worker fetches every file of the build (their list and its hash are written in by
// vite.config.ts). Files have hashes in their names, so they are answered from the cache; a page itself is asked for from
// the network first, so that a new build shows at once, and from the cache where there is no network. Every answer gets
// the headers of cross-origin isolation, which many static hosts cannot set.

/** What a service worker has of its global scope; the project's types are those of a page. */
interface Scope {
  readonly registration: { readonly scope: string };
  readonly clients: { claim(): Promise<void> };
  skipWaiting(): Promise<void>;
  addEventListener(type: "install" | "activate", listener: (event: Lifetime) => void): void;
  addEventListener(type: "fetch", listener: (event: FetchAsked) => void): void;
}
interface Lifetime {
  waitUntil(done: Promise<unknown>): void;
}
interface FetchAsked extends Lifetime {
  readonly request: Request;
  respondWith(answer: Promise<Response>): void;
}

declare const SITE: { readonly version: string; readonly files: readonly string[] };

const scope = globalThis as unknown as Scope;
const PREFIX = "birkhoff-site-";
const name = PREFIX + SITE.version;

scope.addEventListener("install", (event) => {
  event.waitUntil(keep().then(() => scope.skipWaiting()));
});

scope.addEventListener("activate", (event) => {
  event.waitUntil(forget().then(() => scope.clients.claim()));
});

scope.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method !== "GET" || !request.url.startsWith(scope.registration.scope)) return;
  event.respondWith(answer(request).then(isolated));
});

async function keep(): Promise<void> {
  const cache = await caches.open(name);
  await cache.addAll(
    SITE.files.map((file) => new Request(new URL(file, scope.registration.scope), { cache: "reload" })),
  );
}

/** Caches of older builds are of no use; those of other pages of this host are not ours. */
async function forget(): Promise<void> {
  const old = (await caches.keys()).filter((key) => key.startsWith(PREFIX) && key !== name);
  await Promise.all(old.map((key) => caches.delete(key)));
}

async function answer(request: Request): Promise<Response> {
  const kept = async (): Promise<Response | undefined> =>
    (await caches.open(name)).match(request, { ignoreSearch: true });
  if (request.mode !== "navigate") return (await kept()) ?? fetch(request);
  try {
    const fresh = await fetch(request);
    if (fresh.ok) return fresh;
    return (await kept()) ?? fresh;
  } catch (error) {
    const page = await kept();
    if (page) return page;
    throw error;
  }
}

/** The same answer with the headers of isolation; answers without a body that can be read stay as they are. */
function isolated(response: Response): Response {
  if (response.status === 0 || response.type === "opaqueredirect") return response;
  const headers = new Headers(response.headers);
  headers.set("Cross-Origin-Opener-Policy", "same-origin");
  headers.set("Cross-Origin-Embedder-Policy", "require-corp");
  headers.set("Cross-Origin-Resource-Policy", "same-origin");
  const { status, statusText } = response;
  return new Response(response.body, { status, statusText, headers });
}

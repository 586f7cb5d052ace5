// The service worker: keeps every file of the site, so that the page works without a network.
//
// `files.js` is written by `lay_site.py`; it sets `FILES`, and `VERSION`, a digest of them all. When
// it changes, the browser installs the worker anew and the old files go.

importScripts("files.js");

const CACHE = `gatewise-${VERSION}`;

self.addEventListener("install", (event) => {
  const keep = async () => {
    const cache = await caches.open(CACHE);
    await cache.addAll(FILES);
    await self.skipWaiting();
  };
  event.waitUntil(keep());
});

self.addEventListener("activate", (event) => {
  const takeOver = async () => {
    const names = await caches.keys();
    const old = names.filter((name) => name.startsWith("gatewise-") && name !== CACHE);
    await Promise.all(old.map((name) => caches.delete(name)));
    await self.clients.claim();
  };
  event.waitUntil(takeOver());
});

self.addEventListener("fetch", (event) => {
  const answer = async () => {
    const cache = await caches.open(CACHE);
    const options = { ignoreSearch: true, ignoreVary: true };
    return (await cache.match(event.request, options)) ?? fetch(event.request);
  };
  event.respondWith(answer());
});

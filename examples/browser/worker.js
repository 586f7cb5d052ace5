// The service worker: caches every file of the site, so that the page works offline.
//
// `lay_site.py` writes `files.js`, which sets `FILES`, and `VERSION`, a digest of them all. When it
// changes, the browser installs the worker again, which deletes the old files.

importScripts("files.js");

const CACHE = `gatewise-${VERSION}`;

self.addEventListener("install", (event) => {
  const store = async () => {
    const cache = await caches.open(CACHE);
    await cache.addAll(FILES);
    await self.skipWaiting();
  };
  event.waitUntil(store());
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

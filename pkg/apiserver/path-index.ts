import type { NonResourceContext } from "./pipeline.ts";

/** Paths that are served whatever is installed. */
const OWN_PATHS = [
  "/.well-known/openid-configuration",
  "/metrics",
  "/openapi/v2",
  "/openapi/v3",
  "/openapi/v3/",
  "/openid/v1/jwks",
  "/version",
];

/** Serves "/", the list of everything else; false for other paths. */
export function servePathIndex({ request, response, target }: NonResourceContext, more: () => string[]): boolean {
  const reads = request.method === "GET" || request.method === "HEAD";
  if (!reads || (target.path !== "/" && target.path !== "/index.html")) return false;
  const paths = [...OWN_PATHS, ...more()].sort();
  const headers = { "content-type": "application/json", "cache-control": "no-cache, private" };
  response.send(200, headers, Buffer.from(JSON.stringify({ paths }, null, 2)));
  return true;
}

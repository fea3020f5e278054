/** Configuration files that may change while the server runs: `Reloader` follows one and counts what became of it. */
export { Reloader, type ReloaderDeps } from "./reloader.ts";

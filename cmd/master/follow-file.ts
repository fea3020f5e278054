import { readFile } from "node:fs/promises";
import { Reloader } from "#pkg/apiserver/reload/index.ts";
import type { BuildDeps } from "./build-deps.ts";

/** Takes over what a configuration file becomes while the server runs. Undefined without a file. */
export function followFile(
  { clock, log, address, signal }: BuildDeps,
  subsystem: string,
  file: string,
  text: string | undefined,
  apply: (text: string) => Promise<void>,
): Reloader | undefined {
  if (text === undefined) return undefined;
  const read = () => readFile(file, "utf8");
  const reloader = new Reloader({ subsystem, serverId: address, read, apply, clock, log }, text);
  void reloader.run(signal);
  return reloader;
}

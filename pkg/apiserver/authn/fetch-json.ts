import { get } from "node:https";
import type { Clock } from "#pkg/util/index.ts";
import type { FetchJson } from "./oidc.ts";

const MAX_BYTES = 1024 * 1024;
const TIMEOUT_MS = 10_000;

/** GETs small JSON documents over HTTPS, trusting only the given authorities where there are any. */
export function fetchJsonOverHttps(clock: Clock): FetchJson {
  return (url, ca) =>
    new Promise((resolve, reject) => {
      const request = get(url, {
        agent: false,
        headers: { accept: "application/json" },
        ...(ca === undefined ? {} : { ca }),
      });
      const cancel = clock.schedule(TIMEOUT_MS, () =>
        request.destroy(new Error("the provider did not answer in time")),
      );
      request.on("error", (error) => {
        cancel();
        reject(error);
      });
      request.on("response", (response) => {
        const chunks: Buffer[] = [];
        let size = 0;
        response.on("data", (chunk: Buffer) => {
          size += chunk.length;
          if (size > MAX_BYTES) request.destroy(new Error("the document is too large"));
          else chunks.push(chunk);
        });
        response.on("error", reject);
        response.on("end", () => {
          cancel();
          if (response.statusCode !== 200) {
            reject(new Error(`${url.href} answered with status ${response.statusCode}`));
            return;
          }
          try {
            resolve(JSON.parse(Buffer.concat(chunks).toString("utf8")));
          } catch (error) {
            reject(error as Error);
          }
        });
      });
    });
}

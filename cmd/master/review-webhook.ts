import { readFileSync } from "node:fs";
import type { ReviewWebhookConfig } from "#pkg/apiserver/authz/index.ts";
import { loadKubeconfig } from "#pkg/client/index.ts";

/** Reads where a review webhook is and how it is spoken to, from a file in kubeconfig's format. */
export async function reviewWebhook(path: string, timeoutMs?: number): Promise<ReviewWebhookConfig> {
  const { server, ca, caFile, cert, certFile, key, keyFile, token, tokenFile } = await loadKubeconfig(path);
  const text = (inline: string | undefined, file: string | undefined): string | undefined =>
    inline ?? (file === undefined ? undefined : readFileSync(file, "utf8"));
  const present = Object.entries({
    ca: text(ca, caFile),
    cert: text(cert, certFile),
    key: text(key, keyFile),
    token: text(token, tokenFile)?.trim(),
    timeoutMs,
  }).filter(([, value]) => value !== undefined);
  return { url: server, ...Object.fromEntries(present) };
}

/** Finds registry credentials for an image in pull secrets. */
import type { Secret } from "#pkg/api/types/core-v1.ts";
import type { AuthConfig } from "../cri/runtime.ts";
import { registryOf } from "./reference.ts";

interface DockerEntry {
  readonly auth?: string;
  readonly username?: string;
  readonly password?: string;
  readonly identitytoken?: string;
  readonly registrytoken?: string;
}

function entriesOf(secret: Secret): Record<string, DockerEntry> {
  const read = (key: string): unknown => {
    const data = secret.data?.[key];
    return data === undefined ? undefined : JSON.parse(Buffer.from(data, "base64").toString("utf8"));
  };
  const json = read(".dockerconfigjson") as { auths?: Record<string, DockerEntry> } | undefined;
  return json?.auths ?? (read(".dockercfg") as Record<string, DockerEntry> | undefined) ?? {};
}

/** "https://index.docker.io/v1/" and "registry:5000/team" become host and path. */
function split(entry: string): { host: string; path: string } {
  const bare = entry
    .replace(/^https?:\/\//, "")
    .replace(/\/v[12]\/?$/, "")
    .replace(/\/$/, "");
  const slash = bare.indexOf("/");
  return slash < 0 ? { host: bare, path: "" } : { host: bare.slice(0, slash), path: bare.slice(slash) };
}

function hostMatches(pattern: string, host: string): boolean {
  if (host === "index.docker.io" && (pattern === "docker.io" || pattern === "registry-1.docker.io")) return true;
  const want = pattern.split(".");
  const have = host.split(".");
  // A star stands for one label of the name, as upstream documents it.
  return (
    want.length === have.length &&
    want.every(
      (part, i) =>
        part === have[i] ||
        (part.includes("*") &&
          new RegExp(
            `^${part
              .split("*")
              .map((p) => p.replace(/[^\w-]/g, "\\$&"))
              .join("[^.]*")}$`,
          ).test(have[i]!)),
    )
  );
}

/** Whether an entry such as "*.example.com:5000/team" speaks of the image. */
export function imageMatches(entry: string, image: string): boolean {
  const target = split(entry);
  const host = registryOf(image);
  const path = image.startsWith(`${host}/`) ? image.slice(host.length) : `/${image}`;
  return hostMatches(target.host, host) && path.startsWith(target.path);
}

/** A way into a registry, and the Secret that it came from; without one it is the node's own, for all pods. */
export interface Credential {
  readonly auth: AuthConfig;
  readonly secret?: { readonly namespace: string; readonly name: string; readonly uid: string };
}

/**
 * All credentials that fit, most specific path first. They name no server: which of a registry's hosts (mirrors, token
 * services) may see them is the runtime's to decide. A secret that cannot be read is skipped and reported.
 */
export function credentialsFor(
  image: string,
  secrets: readonly Secret[],
  onBad: (secret: Secret, error: unknown) => void,
): Credential[] {
  const found: (Credential & { path: string })[] = [];

  for (const secret of secrets) {
    const { namespace = "", name: secretName, uid } = secret.metadata;
    try {
      for (const [name, entry] of Object.entries(entriesOf(secret))) {
        const target = split(name);
        if (!imageMatches(name, image)) continue;
        const [user, ...rest] =
          entry.auth === undefined ? [] : Buffer.from(entry.auth, "base64").toString("utf8").split(":");
        found.push({
          path: target.path,
          secret: { namespace, name: secretName, uid },
          auth: {
            username: entry.username ?? user,
            password: entry.password ?? rest.join(":"),
            identityToken: entry.identitytoken,
            registryToken: entry.registrytoken,
          },
        });
      }
    } catch (error) {
      onBad(secret, error);
    }
  }
  return found.sort((a, b) => b.path.length - a.path.length).map(({ auth, secret }) => ({ auth, secret }));
}

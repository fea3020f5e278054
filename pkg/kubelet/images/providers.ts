/**
 * Credential providers: programs of the node that know how to log in to a registry (KEP-2133). Which images each is asked
 * for stands in a CredentialProviderConfig; what one answers is kept for as long as it says.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { decodeYaml } from "#pkg/apimachinery/index.ts";
import { parseDuration } from "#pkg/config/index.ts";
import { type Clock, type CommandRunner, ExpiringMap, type Logger } from "#pkg/util/index.ts";
import { imageMatches } from "./credentials.ts";
import type { Credential } from "./credentials.ts";
import { registryOf } from "./reference.ts";

const EXEC_API = "credentialprovider.kubelet.k8s.io/v1";
const CONFIG_API = "kubelet.config.k8s.io/v1";
/** Upstream's limit for one answer. */
const TIMEOUT_MS = 60_000;

interface Provider {
  readonly name: string;
  readonly matchImages: readonly string[];
  readonly defaultCacheDuration: string;
  readonly apiVersion: string;
  readonly args?: readonly string[];
  readonly env?: readonly { readonly name: string; readonly value: string }[];
}
interface Answer {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly cacheKeyType?: string;
  readonly cacheDuration?: string;
  readonly auth?: Readonly<Record<string, { readonly username: string; readonly password: string }>>;
}

/** What running credential providers needs. */
export interface CredentialProvidersDeps {
  readonly commands: CommandRunner;
  readonly clock: Clock;
  readonly log: Logger;
  /** Where the programs lie. */
  readonly binDir: string;
  readonly providers: readonly Provider[];
}

/** @throws Error that names what in the file cannot be followed. */
export function parseProviders(text: string): Provider[] {
  const config = decodeYaml(text).value as { apiVersion?: string; kind?: string; providers?: Partial<Provider>[] };
  if (config.kind !== "CredentialProviderConfig" || config.apiVersion !== CONFIG_API)
    throw new Error(`not a CredentialProviderConfig of ${CONFIG_API}`);
  const seen = new Set<string>();
  return (config.providers ?? []).map((provider) => {
    const { name = "", matchImages = [], defaultCacheDuration = "", apiVersion = "" } = provider;
    const refuse = (why: string) => new Error(`credential provider ${JSON.stringify(name)}: ${why}`);
    if (name === "" || name.includes("/") || name === "." || name === "..") throw refuse("the name is no file's name");
    if (seen.has(name)) throw refuse("the name is there twice");
    seen.add(name);
    if (matchImages.length === 0) throw refuse("matchImages is required");
    if (apiVersion !== EXEC_API) throw refuse(`apiVersion must be ${EXEC_API}`);
    if (parseDuration(defaultCacheDuration) === undefined) throw refuse("defaultCacheDuration is required");
    return { ...provider, name, matchImages, defaultCacheDuration, apiVersion };
  });
}

/** None where no configuration is named. */
export async function loadProviders(path: string, deps: Omit<CredentialProvidersDeps, "providers">) {
  const providers = path === "" ? [] : parseProviders(await readFile(path, "utf8"));
  return new CredentialProviders({ ...deps, providers });
}

export class CredentialProviders {
  readonly #deps: CredentialProvidersDeps;
  readonly #cache: ExpiringMap<readonly Credential[]>;

  constructor(deps: CredentialProvidersDeps) {
    this.#deps = deps;
    this.#cache = new ExpiringMap(deps.clock);
  }

  /** What the providers know for the image. One that fails is logged and passed over. */
  async credentialsFor(image: string, signal: AbortSignal): Promise<Credential[]> {
    const found: Credential[] = [];
    for (const provider of this.#deps.providers) {
      if (!provider.matchImages.some((pattern) => imageMatches(pattern, image))) continue;
      try {
        found.push(...(await this.#of(provider, image, signal)));
      } catch (err) {
        if (signal.aborted) throw err;
        this.#deps.log.warn({ err, provider: provider.name, image }, "A credential provider failed");
      }
    }
    return found;
  }

  async #of(provider: Provider, image: string, signal: AbortSignal): Promise<readonly Credential[]> {
    const keys = { Image: image, Registry: registryOf(image), Global: "" };
    for (const [type, key] of Object.entries(keys)) {
      const cached = this.#cache.get(`${provider.name}/${type}/${key}`);
      if (cached !== undefined) return cached;
    }
    const answer = await this.#ask(provider, image, signal);
    const { cacheKeyType = "", auth = {} } = answer;
    if (!Object.hasOwn(keys, cacheKeyType)) throw new Error(`unsupported cacheKeyType ${JSON.stringify(cacheKeyType)}`);
    const credentials = Object.entries(auth)
      .filter(([pattern]) => imageMatches(pattern, image))
      .sort(([a], [b]) => b.length - a.length)
      .map(([, { username, password }]): Credential => ({ auth: { username, password } }));
    const keptMs = parseDuration(answer.cacheDuration ?? provider.defaultCacheDuration) ?? 0;
    const key = `${provider.name}/${cacheKeyType}/${keys[cacheKeyType as keyof typeof keys]}`;
    if (keptMs > 0) this.#cache.set(key, credentials, keptMs);
    return credentials;
  }

  async #ask({ name, args = [], env = [] }: Provider, image: string, signal: AbortSignal): Promise<Answer> {
    const request = { kind: "CredentialProviderRequest", apiVersion: EXEC_API, image };
    // The program has the node agent's environment, and what its entry adds.
    const command = [...env.map(({ name: key, value }) => `${key}=${value}`), join(this.#deps.binDir, name), ...args];
    const { stdout } = await this.#deps.commands.run("env", command, {
      stdin: JSON.stringify(request),
      timeoutMs: TIMEOUT_MS,
      signal,
    });
    const answer = JSON.parse(stdout) as Answer;
    if (answer.kind !== "CredentialProviderResponse" || answer.apiVersion !== EXEC_API)
      throw new Error(`answered a ${String(answer.kind)} of ${String(answer.apiVersion)}`);
    return answer;
  }
}

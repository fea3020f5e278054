/** Static pods: manifests in a directory of the node, which run without the API and show in it as mirror pods. */
import { createHash } from "node:crypto";
import { watch } from "node:fs";
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import { decodeYaml } from "#pkg/apimachinery/index.ts";
import { hasCode, ifExists, pause } from "#pkg/util/index.ts";
import type { Clock, Logger } from "#pkg/util/index.ts";

const MAX_MANIFEST_BYTES = 1024 * 1024;
const SETTLE_MS = 100;

function uidFrom(hash: string): string {
  return hash.slice(0, 32);
}

/** The pod a manifest stands for on this node: named after it, placed on it, tolerating everything. Pure. */
async function staticPod(manifest: unknown, file: string, text: string, nodeName: string, now: number): Promise<Pod> {
  const given = manifest as Partial<Pod>;
  if (given?.kind !== "Pod" || given.spec === undefined || given.metadata?.name === undefined)
    throw new Error("it is not a Pod with a name and a spec");
  const hash = createHash("sha256").update(`${nodeName}\n${file}\n${text}`).digest("hex").slice(0, 32);
  const pod: Pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      ...given.metadata,
      name: `${given.metadata.name}-${nodeName.toLowerCase()}`,
      namespace: given.metadata.namespace ?? "default",
      uid: given.metadata.uid === undefined || given.metadata.uid === "" ? uidFrom(hash) : given.metadata.uid,
      resourceVersion: "0",
      creationTimestamp: new Date(now).toISOString(),
      generation: undefined,
      annotations: {
        ...given.metadata.annotations,
        "kubernetes.io/config.source": "file",
        "kubernetes.io/config.seen": new Date(now).toISOString(),
        "kubernetes.io/config.hash": hash,
      },
    },
    spec: {
      ...structuredClone(given.spec),
      nodeName,
      tolerations: [...(given.spec.tolerations ?? []), { operator: "Exists", effect: "NoExecute" }],
    },
    status: { phase: "Pending" },
  };
  // Only a node that has static pods needs to know what the API is: that is much to keep in memory.
  const { adoptAppArmorAnnotations, defaultPodSpec } = await import("#pkg/api/index.ts");
  defaultPodSpec(pod.spec);
  adoptAppArmorAnnotations(pod);
  return pod;
}

/** Where static pods come from; `periodMs` between two looks at files that no watch tells of. */
export interface StaticSourceDeps {
  readonly directory: string;
  readonly nodeName: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly periodMs: number;
  readonly onPods: (pods: readonly Pod[]) => void;
}

export class StaticPodSource {
  readonly #deps: StaticSourceDeps;
  /** Pods by file, kept while the text stays the same so that their "seen" time does. */
  readonly #known = new Map<string, { text: string; pod: Pod | undefined }>();

  constructor(deps: StaticSourceDeps) {
    this.#deps = deps;
  }

  async read(): Promise<readonly Pod[]> {
    const { directory, log } = this.#deps;
    const pods: Pod[] = [];
    const names = await listManifests(directory);
    for (const name of this.#known.keys()) if (!names.includes(name)) this.#known.delete(name);
    for (const name of names) {
      const path = join(directory, name);
      try {
        const info = await stat(path);
        if (!info.isFile()) continue;
        if (info.size > MAX_MANIFEST_BYTES) throw new Error("it is larger than 1 MiB");
        const text = await readFile(path, "utf8");
        const known = this.#known.get(name);
        if (known?.text !== text) this.#known.set(name, { text, pod: await this.#parse(path, text) });
        const pod = this.#known.get(name)?.pod;
        if (pod !== undefined) pods.push(pod);
      } catch (err) {
        if (hasCode(err, "ENOENT")) continue;
        log.warn({ err, path }, "A static pod's manifest could not be read");
      }
    }
    return pods;
  }

  async #parse(path: string, text: string): Promise<Pod | undefined> {
    const { nodeName, clock, log } = this.#deps;
    try {
      return await staticPod(decodeYaml(text).value, path, text, nodeName, clock.now());
    } catch (err) {
      log.warn({ err, path }, "A static pod's manifest is not valid");
      return undefined;
    }
  }

  /** Reads the directory once and tells what is there. */
  async refresh(): Promise<void> {
    const { directory, log, onPods } = this.#deps;
    try {
      onPods(await this.read());
    } catch (err) {
      log.warn({ err, directory }, "Reading static pods failed");
    }
  }

  async run(signal: AbortSignal): Promise<void> {
    const { directory, clock, log, periodMs } = this.#deps;
    while (!signal.aborted) {
      const wake = new AbortController();
      const bounded = AbortSignal.any([signal, wake.signal]);
      try {
        const watcher = watch(directory, { signal: bounded, persistent: false }, () => wake.abort());
        watcher.on("error", () => undefined); // the period below stands in for a watch that fails
      } catch (err) {
        log.debug({ err, directory }, "The directory of static pods cannot be watched");
      }
      await this.refresh();
      await pause(clock, periodMs, bounded);
      wake.abort();
      // An editor writes in several steps.
      await pause(clock, SETTLE_MS, signal);
    }
  }
}

async function listManifests(directory: string): Promise<string[]> {
  const names = (await ifExists(readdir(directory))) ?? [];
  return names.filter((name) => !name.startsWith(".") && /\.(ya?ml|json|manifest)$/.test(name)).sort();
}

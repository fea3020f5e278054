import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import { readFileSync, existsSync, globSync } from "node:fs";
import { join } from "node:path";
import { after, before } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { SpawnRunner } from "#pkg/util/index.ts";
import { buildPrograms } from "../../hack/lib/cluster.ts";
import { type AnyLab, type LabMachine, type RunOptions, attachLab, isVmLab } from "../../hack/lib/any-lab.ts";
import { Lab } from "../../hack/lib/lab.ts";

const runner = new SpawnRunner();
/** Without help of the processor a virtual machine is slower than this one by about as much. */
const EMULATION = 8;
/** The lab that the whole run shares, if any. */
const shared = process.env["KUBITS_LAB"];
/** By how much longer than usual everything may take in the cluster of this test file. */
const patience = shared !== undefined && isVmLab(shared) ? EMULATION : 1;

/** Options of a test that must be through within this time on a machine that is not emulated. */
export const within = (timeoutMs: number) => ({ timeout: timeoutMs * patience });

/** A cluster and a namespace of its own for one test file. */
export class TestCluster {
  readonly lab: AnyLab;
  readonly namespace: string;
  /** What kubectl keeps of the API's resources, by address: every lab has the same, and each file defines others. */
  readonly #cacheDir: string;
  #kubectl = "kubectl";

  constructor(lab: AnyLab, namespace: string) {
    this.lab = lab;
    this.namespace = namespace;
    this.#cacheDir = join(lab.dir, "kubectl-cache", namespace);
  }

  /** The lab as programs of this machine, for tests that stop and start them. */
  get programs(): Lab {
    if (!(this.lab instanceof Lab)) throw new Error("the programs of this lab run in virtual machines");
    return this.lab;
  }

  /** The kubectl that is used. */
  get binary(): string {
    return this.#kubectl;
  }

  /** The same cluster, spoken to with another kubectl. */
  withKubectl(binary: string): TestCluster {
    const other = new TestCluster(this.lab, this.namespace);
    other.#kubectl = binary;
    return other;
  }

  /** Runs kubectl in this file's namespace; rejects with its error output when it fails. */
  async kubectl(args: readonly string[], options: { stdin?: string; timeoutMs?: number } = {}): Promise<string> {
    const result = await this.try(args, options);
    if (result.exitCode !== 0)
      throw new Error(`kubectl ${args.join(" ")} failed (${result.exitCode}): ${result.stderr}${result.stdout}`);
    return result.stdout;
  }

  /** Like `kubectl`, but answers failures too. */
  try(args: readonly string[], options: { stdin?: string; timeoutMs?: number } = {}) {
    const base = ["--kubeconfig", this.lab.adminConf, "--namespace", this.namespace, "--cache-dir", this.#cacheDir];
    const { timeoutMs = 180_000 } = options;
    const patient = { ...options, timeoutMs: timeoutMs * patience };
    return this.here(this.#kubectl, [...base, ...args], { allowFailure: true, ...patient });
  }

  /** Runs a program of this machine where it reaches the cluster's addresses. */
  here(file: string, args: readonly string[], options: RunOptions = {}) {
    const [enter, ...rest] = [...this.lab.reach, file, ...args];
    return runner.run(enter!, rest, options);
  }

  /** Starts one that goes on running. */
  spawn(file: string, args: readonly string[], options: SpawnOptions = {}): ChildProcess {
    const [enter, ...rest] = [...this.lab.reach, file, ...args];
    return spawn(enter!, rest, options);
  }

  async apply(manifest: object | readonly object[]): Promise<void> {
    const items = Array.isArray(manifest) ? manifest : [manifest];
    await this.kubectl(["apply", "-f", "-"], { stdin: JSON.stringify({ apiVersion: "v1", kind: "List", items }) });
  }

  async get<T>(...args: string[]): Promise<T> {
    return JSON.parse(await this.kubectl(["get", ...args, "-o", "json"])) as T;
  }

  jsonpath(resource: string, path: string): Promise<string> {
    return this.kubectl(["get", resource, "-o", `jsonpath=${path}`]);
  }

  async ready(resource: string, timeoutSeconds = 60): Promise<void> {
    await this.kubectl(["wait", "--for=condition=Ready", resource, `--timeout=${timeoutSeconds * patience}s`]);
  }

  exec(pod: string, ...command: string[]): Promise<string> {
    return this.kubectl(["exec", pod, "--", ...command]);
  }

  /** An HTTP request with curl from a node; rejects when there is no answer with status 2xx. */
  async curl(node: LabMachine, url: string, ...options: string[]): Promise<string> {
    return (
      await this.lab.run(node, "curl", ["--silent", "--show-error", "--fail", "--max-time", "5", ...options, url])
    ).stdout;
  }
}

/** Polls until `probe` answers something other than undefined; the last error or the description explains a time-out. */
export async function eventually<T>(
  what: string,
  probe: () => Promise<T | undefined>,
  timeoutMs = 30_000,
  intervalMs = 150,
): Promise<T> {
  const deadline = Date.now() + timeoutMs * patience;
  let last: unknown;
  for (;;) {
    try {
      const value = await probe();
      if (value !== undefined) return value;
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (Date.now() > deadline) throw new Error(`timed out after ${timeoutMs * patience} ms: ${what}`, { cause: last });
    await delay(intervalMs);
  }
}

/** kubectl programs on this machine, oldest first, by minor version. */
export async function installedKubectls(): Promise<Array<{ path: string; minor: number }>> {
  const own = join(import.meta.dirname, "../../.kubits/kubectl/usr/bin/kubectl");
  const candidates = [...globSync("/usr/lib/google-cloud-sdk/bin/kubectl.1.*"), own, "kubectl"];
  const found = new Map<number, string>();
  for (const path of candidates) {
    if (path.startsWith("/") && !existsSync(path)) continue;
    const { stdout, exitCode } = await runner.run(path, ["version", "--client", "-o", "json"], { allowFailure: true });
    if (exitCode !== 0) continue;
    const minor = Number.parseInt((JSON.parse(stdout) as { clientVersion: { minor: string } }).clientVersion.minor, 10);
    if (!found.has(minor)) found.set(minor, path);
  }
  return [...found].map(([minor, path]) => ({ path, minor })).sort((a, b) => a.minor - b.minor);
}

/**
 * Gives a test file its cluster: the lab that the whole run shares (KUBITS_LAB names its directory), or one of its own
 * when the file is run alone. The namespace is removed afterwards. Hooks run in the order in which they are registered: a file's
 * own `after` that needs the cluster stands before this call.
 */
export function useCluster(name: string): { readonly cluster: TestCluster } {
  const holder: { cluster?: TestCluster } = {};
  let own: Lab | undefined;
  before(async () => {
    if (shared === undefined) await buildPrograms();
    if (shared === undefined) own = await Lab.start({ nodes: 2, progress: (line) => console.log(`lab: ${line}`) });
    const lab = own ?? attachLab(shared!);
    const namespace = `e2e-${name}-${Math.random().toString(36).slice(2, 7)}`;
    await lab.kubectl("create", "namespace", namespace);
    holder.cluster = new TestCluster(lab, namespace);
    const account = () => lab.kubectl("-n", namespace, "get", "serviceaccount", "default", "-o", "name");
    await eventually("the default service account appears", account);
  });
  after(async () => {
    const { cluster } = holder;
    try {
      await cluster?.lab.kubectl(
        "delete",
        "namespace",
        cluster.namespace,
        "--wait=true",
        `--timeout=${120 * patience}s`,
      );
    } finally {
      await own?.destroy();
    }
  });
  return {
    get cluster(): TestCluster {
      if (holder.cluster === undefined) throw new Error("the cluster is only there while tests run");
      return holder.cluster;
    },
  };
}

export function manifest(file: string): string {
  return readFileSync(join(import.meta.dirname, "../..", file), "utf8");
}

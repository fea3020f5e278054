/** Runs CNI plugins for runtimes that leave the pod's network to us. Source: the CNI specification, 0.4.0 to 1.0.0. */
import { access, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ifExists } from "#pkg/util/index.ts";
import type { CommandRunner } from "#pkg/util/index.ts";
import type { PortMapping } from "../cri/runtime.ts";

interface PluginConfig {
  readonly type: string;
  readonly capabilities?: Readonly<Record<string, boolean>>;
  readonly [key: string]: unknown;
}

/** A network configuration list of the CNI specification. */
export interface NetworkList {
  readonly cniVersion: string;
  readonly name: string;
  readonly plugins: readonly PluginConfig[];
}
interface CniResult {
  readonly ips?: readonly { readonly address: string; readonly version?: string }[];
  readonly [key: string]: unknown;
}

/** What a runtime remembers about a pod's network, so that DEL can be asked for after a restart. */
interface Attachment {
  readonly network: NetworkList;
  readonly result: CniResult;
  readonly portMappings: readonly PortMapping[];
  readonly podName: string;
  readonly podNamespace: string;
  /** False while plugins are still at work, or when one failed. */
  readonly complete: boolean;
}

/** Where configuration, plugins and our own notes lie. */
export interface CniOptions {
  readonly confDir: string;
  readonly binDir: string;
  /** Holds one file per attached sandbox. */
  readonly stateDir: string;
  readonly commands: CommandRunner;
}

/** The plugin's configuration for one call: the list's names, the previous result, and what it said it can use. Pure. */
export function pluginInput(
  network: NetworkList,
  plugin: PluginConfig,
  previous: CniResult | undefined,
  portMappings: readonly PortMapping[],
): Record<string, unknown> {
  const { capabilities = {}, ...config } = plugin;
  const runtimeConfig =
    capabilities["portMappings"] === true
      ? {
          portMappings: portMappings.map(({ protocol, containerPort, hostPort, hostIp }) => ({
            protocol: protocol.toLowerCase(),
            containerPort,
            hostPort,
            ...(hostIp === "" ? {} : { hostIP: hostIp }),
          })),
        }
      : undefined;
  return {
    ...config,
    cniVersion: network.cniVersion,
    name: network.name,
    ...(previous === undefined ? {} : { prevResult: previous }),
    ...(runtimeConfig === undefined ? {} : { runtimeConfig }),
  };
}

export class Cni {
  readonly #options: CniOptions;
  readonly #attached = new Set<string>();
  constructor(options: CniOptions) {
    this.#options = options;
  }

  /** The first configuration by name, as every runtime chooses it; undefined when there is none yet. */
  async network(): Promise<NetworkList | undefined> {
    const { confDir } = this.#options;
    const names = (await ifExists(readdir(confDir))) ?? [];
    const [first] = names.filter((name) => /\.(conflist|conf|json)$/.test(name)).sort();
    if (first === undefined) return undefined;
    const parsed = JSON.parse(await readFile(join(confDir, first), "utf8")) as
      | NetworkList
      | (PluginConfig & { name: string; cniVersion?: string });
    return "plugins" in parsed && Array.isArray(parsed.plugins)
      ? (parsed as NetworkList)
      : {
          cniVersion: (parsed as { cniVersion?: string }).cniVersion ?? "0.4.0",
          name: parsed.name as string,
          plugins: [parsed as PluginConfig],
        };
  }

  #file(id: string): string {
    return join(this.#options.stateDir, `${id}.json`);
  }

  async #run(
    command: "ADD" | "DEL",
    plugin: PluginConfig,
    input: object,
    id: string,
    netns: string,
    pod: { name: string; namespace: string },
  ): Promise<CniResult> {
    const { binDir, commands } = this.#options;
    const path = join(binDir, plugin.type);
    await access(path);
    const { exitCode, stdout, stderr } = await commands.run(path, [], {
      stdin: JSON.stringify(input),
      allowFailure: true,
      timeoutMs: 60_000,
      env: {
        CNI_COMMAND: command,
        CNI_CONTAINERID: id,
        CNI_NETNS: netns,
        CNI_IFNAME: "eth0",
        CNI_PATH: binDir,
        CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAMESPACE=${pod.namespace};K8S_POD_NAME=${pod.name};K8S_POD_INFRA_CONTAINER_ID=${id}`,
        PATH: "/usr/sbin:/usr/bin:/sbin:/bin",
      },
    });
    if (exitCode !== 0) {
      let message = stderr.trim();
      try {
        message = (JSON.parse(stdout) as { msg?: string }).msg ?? message;
      } catch {
        message = message === "" ? stdout.trim() : message; // not every plugin fails in JSON
      }
      throw new Error(`plugin type="${plugin.type}" failed (${command.toLowerCase()}): ${message}`);
    }
    return stdout.trim() === "" ? {} : (JSON.parse(stdout) as CniResult);
  }

  /** Connects the network namespace; resolves to its addresses. What was done before a failure is taken back. */
  async attach(
    id: string,
    netns: string,
    pod: { name: string; namespace: string },
    portMappings: readonly PortMapping[],
  ): Promise<string[]> {
    const network = await this.network();
    if (network === undefined) throw new Error(`no CNI configuration in ${this.#options.confDir}`);
    let result: CniResult | undefined;
    const attachment = (complete: boolean): Attachment => ({
      complete,
      network,
      result: result ?? {},
      portMappings,
      podName: pod.name,
      podNamespace: pod.namespace,
    });
    await mkdir(this.#options.stateDir, { recursive: true, mode: 0o700 });
    try {
      for (const plugin of network.plugins)
        result = await this.#run("ADD", plugin, pluginInput(network, plugin, result, portMappings), id, netns, pod);
      await writeFile(this.#file(id), JSON.stringify(attachment(true)));
      this.#attached.add(id);
    } catch (error) {
      await writeFile(this.#file(id), JSON.stringify(attachment(false)));
      await this.detach(id, netns).catch(() => undefined); // the first failure is the one to report
      throw error;
    }
    return addressesOf(result);
  }

  /** Whether the sandbox's network is all set up. */
  async attached(id: string): Promise<boolean> {
    if (this.#attached.has(id)) return true;
    if ((await this.#attachment(id))?.complete !== true) return false;
    this.#attached.add(id);
    return true;
  }

  async addresses(id: string): Promise<string[]> {
    return addressesOf((await this.#attachment(id))?.result);
  }

  /** Undoes attach; harmless when nothing was attached. `netns` may be "" when the namespace is gone. */
  async detach(id: string, netns: string): Promise<void> {
    const attachment = await this.#attachment(id);
    if (attachment === undefined) return;
    const { network, result, portMappings, podName: name, podNamespace: namespace } = attachment;
    for (const plugin of [...network.plugins].reverse())
      await this.#run("DEL", plugin, pluginInput(network, plugin, result, portMappings), id, netns, {
        name,
        namespace,
      });
    this.#attached.delete(id);
    await rm(this.#file(id), { force: true });
  }

  async #attachment(id: string): Promise<Attachment | undefined> {
    const text = await ifExists(readFile(this.#file(id), "utf8"));
    return text === undefined ? undefined : (JSON.parse(text) as Attachment);
  }
}

function addressesOf(result: CniResult | undefined): string[] {
  return (result?.ips ?? []).map(({ address }) => address.split("/")[0]!);
}

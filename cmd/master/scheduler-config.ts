import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { decodeYaml, isRecord } from "#pkg/apimachinery/index.ts";
import { UsageError } from "#pkg/config/index.ts";
import type { Plugin, PluginFactory } from "#pkg/scheduler/index.ts";
import { errorMessage } from "#pkg/util/index.ts";

/** What the control loops' thread needs to set the scheduler up; plain data. */
export interface SchedulerSettings {
  /** A KubeSchedulerConfiguration as read from its file; undefined is the default one. */
  readonly configuration: unknown;
  /** Modules with plugins from outside. */
  readonly pluginModules: readonly string[];
}

/**
 * Reads and checks what --scheduler-config and --scheduler-plugins name. The configuration is passed on unparsed and the
 * modules by name, because what becomes of them does not cross to a thread. @throws UsageError
 */
export async function readSchedulerSettings(path: string, modules: readonly string[]): Promise<SchedulerSettings> {
  const settings = { configuration: undefined, pluginModules: modules.map((file) => resolve(file)) };
  const plugins = await loadPlugins(settings.pluginModules).catch((error: Error) => {
    throw new UsageError(`--scheduler-plugins: ${error.message}`);
  });
  if (path === "") return settings;
  // Loaded on demand: the main thread has no other use for the scheduler.
  const { assertPluginsExist, parseSchedulerConfiguration } = await import("#pkg/scheduler/index.ts");
  try {
    const { value } = decodeYaml(readFileSync(path, "utf8"));
    assertPluginsExist(parseSchedulerConfiguration(value), plugins);
    return { ...settings, configuration: value };
  } catch (error) {
    throw new UsageError(`--scheduler-config: ${errorMessage(error)}`);
  }
}

/**
 * Plugins from outside: every exported object with a name is a plugin as it is, or, with a `make(handle, args)`, makes
 * one for a profile.
 */
export async function loadPlugins(modules: readonly string[]): Promise<Map<string, PluginFactory>> {
  const plugins = new Map<string, PluginFactory>();
  for (const file of modules) {
    const before = plugins.size;
    const exported = (await import(pathToFileURL(file).href)) as Record<string, unknown>;
    for (const one of Object.values(exported)) {
      if (!isRecord(one) || typeof one["name"] !== "string") continue;
      const { make } = one;
      plugins.set(one["name"], typeof make === "function" ? (make as PluginFactory) : () => one as unknown as Plugin);
    }
    if (plugins.size === before) throw new Error(`${file} exports no object with a name`);
  }
  return plugins;
}

/**
 * Lets --config name a KubeSchedulerConfiguration, as kube-scheduler's does: what it says of the connection and of leader
 * election are flags of ours. Any other file is flags already. @throws UsageError
 */
export function fileAsFlags(
  file: Readonly<Record<string, unknown>>,
  _warn: (text: string) => void,
  path: string,
): Readonly<Record<string, unknown>> {
  const { apiVersion, kind } = file;
  if (apiVersion === undefined && kind === undefined) return file;
  if (kind !== "KubeSchedulerConfiguration") {
    throw new UsageError(
      `the configuration file is a ${String(kind)} of ${String(apiVersion)}; known are flag names as keys, and ` +
        "KubeSchedulerConfiguration of kubescheduler.config.k8s.io/v1",
    );
  }
  const member = (object: unknown, name: string) => (isRecord(object) ? object[name] : undefined);
  const elects = member(file["leaderElection"], "leaderElect");
  const kubeconfig = member(file["clientConnection"], "kubeconfig");
  return {
    "scheduler-config": path,
    ...(elects === undefined ? {} : { "leader-elect": elects }),
    ...(kubeconfig === undefined ? {} : { kubeconfig }),
  };
}

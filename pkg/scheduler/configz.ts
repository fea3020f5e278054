import type { SchedulerConfiguration } from "./config.ts";
import { DEFAULT_PLUGINS } from "./plugins/registry.ts";

/** What a profile runs that does not say otherwise. */
const DEFAULT_SET = {
  enabled: DEFAULT_PLUGINS.map(({ name, weight }) => (weight === undefined ? { name } : { name, weight })),
};

/** The configuration in force, as a KubeSchedulerConfiguration. */
export function describeConfiguration(config: SchedulerConfiguration): Record<string, unknown> {
  const { profiles, extenders, ...settings } = config;
  return {
    apiVersion: "kubescheduler.config.k8s.io/v1",
    kind: "KubeSchedulerConfiguration",
    ...settings,
    profiles: profiles.map(({ schedulerName, percentageOfNodesToScore, plugins, pluginConfig }) => ({
      schedulerName,
      ...(percentageOfNodesToScore === undefined ? {} : { percentageOfNodesToScore }),
      plugins: {
        multiPoint: DEFAULT_SET,
        ...Object.fromEntries(
          Object.entries(plugins).map(([point, { enabled, disabled }]) => [
            point,
            { enabled, disabled: [...disabled].map((name) => ({ name })) },
          ]),
        ),
      },
      pluginConfig: [...pluginConfig].map(([name, args]) => ({ name, args })),
    })),
    extenders: extenders.map(({ httpTimeoutMs, managedResources, tls: _secret, ...extender }) => ({
      ...extender,
      httpTimeout: `${httpTimeoutMs / 1000}s`,
      managedResources: managedResources.map((name) => ({ name })),
    })),
  };
}

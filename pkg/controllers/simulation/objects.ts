import type { AnyObject } from "#pkg/apimachinery/index.ts";
import type { Draft } from "#pkg/client/index.ts";
import type { Deployment } from "#pkg/api/types/apps-v1.ts";
import type { PodTemplateSpec } from "#pkg/api/types/core-v1.ts";

export function template(labels: Record<string, string>, annotations?: Record<string, string>): PodTemplateSpec {
  return {
    metadata: { labels, ...(annotations === undefined ? {} : { annotations }) },
    spec: { containers: [{ name: "main", image: "image" }], terminationGracePeriodSeconds: 1 },
  };
}

export function deployment(namespace: string, name: string, replicas: number, spec: object = {}): Draft<Deployment> {
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { namespace, name },
    spec: { replicas, selector: { matchLabels: { app: name } }, template: template({ app: name }), ...spec },
  };
}

/** The object of that name in a list of one namespace, or of a kind without namespaces. */
export function named<T extends AnyObject>(list: readonly T[], name: string): T | undefined {
  return list.find(({ metadata }) => metadata.name === name);
}

import { readFileSync } from "node:fs";
import { decodeYaml } from "#pkg/apimachinery/index.ts";
import type { HttpsTransport } from "#pkg/apiserver/admission/index.ts";
import {
  AuthorizationWebhook,
  type AuthorizerSettings,
  createAuthorizer,
  parseAuthorizationConfiguration,
} from "#pkg/apiserver/authz/index.ts";
import { systemNodeRules } from "#pkg/apiserver/bootstrap/index.ts";
import type { Authorizer } from "#pkg/apiserver/index.ts";
import { UsageError } from "#pkg/config/index.ts";
import type { BuildDeps, Sources } from "./build-deps.ts";
import { reviewWebhook } from "./review-webhook.ts";
import type { CoreSources } from "./security.ts";

type Mode = Exclude<AuthorizerSettings["type"], "Webhook">;

/** The chain of --authorization-config, or else of --authorization-mode. */
export async function buildAuthorizer(
  deps: BuildDeps,
  sources: Sources,
  core: CoreSources,
  transport: HttpsTransport,
): Promise<ReturnType<typeof createAuthorizer>> {
  const modes: (Mode | Authorizer)[] = [];
  for (const { type, name, webhook } of settingsOf(deps)) {
    if (type !== "Webhook") modes.push(type);
    else if (webhook !== undefined) {
      const { kubeConfigFile, timeoutMs, ...settings } = webhook;
      const config = await reviewWebhook(kubeConfigFile, timeoutMs);
      modes.push(
        new AuthorizationWebhook({ transport, config, clock: deps.clock, log: deps.log.child({ name }), ...settings }),
      );
    }
  }
  const rbacGroup = "rbac.authorization.k8s.io";
  return createAuthorizer({
    modes,
    rbac: {
      roles: sources.of(rbacGroup, "roles"),
      roleBindings: sources.of(rbacGroup, "rolebindings"),
      clusterRoles: sources.of(rbacGroup, "clusterroles"),
      clusterRoleBindings: sources.of(rbacGroup, "clusterrolebindings"),
    },
    node: {
      pods: core.pods,
      persistentVolumeClaims: sources.of("", "persistentvolumeclaims"),
      persistentVolumes: sources.of("", "persistentvolumes"),
      volumeAttachments: sources.of("storage.k8s.io", "volumeattachments"),
      resourceSlices: sources.of("resource.k8s.io", "resourceslices"),
      nodeRules: systemNodeRules(),
    },
  });
}

function settingsOf({ flags }: BuildDeps): readonly AuthorizerSettings[] {
  const file = flags["authorization-config"];
  const kubeConfigFile = flags["authorization-webhook-config-file"];
  if (file !== "") {
    if (kubeConfigFile !== "" || flags["authorization-mode"].join() !== "Node,RBAC")
      throw new UsageError("--authorization-config excludes --authorization-mode and --authorization-webhook-*");
    return parseAuthorizationConfiguration(decodeYaml(readFileSync(file, "utf8")).value);
  }
  return flags["authorization-mode"].map((type) => {
    if (type !== "Webhook") return { type: type as Mode, name: type.toLowerCase() };
    if (kubeConfigFile === "")
      throw new UsageError("--authorization-mode=Webhook needs an --authorization-webhook-config-file");
    const webhook = {
      kubeConfigFile,
      timeoutMs: 30_000,
      version: flags["authorization-webhook-version"] as "v1" | "v1beta1",
      allowedTtlMs: flags["authorization-webhook-cache-authorized-ttl"],
      refusedTtlMs: flags["authorization-webhook-cache-unauthorized-ttl"],
      failurePolicy: "NoOpinion" as const,
      conditions: () => true,
    };
    return { type: "Webhook", name: "default", webhook };
  });
}

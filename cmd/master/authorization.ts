import { readFileSync } from "node:fs";
import { decodeYaml } from "#pkg/apimachinery/index.ts";
import type { HttpsTransport } from "#pkg/apiserver/admission/index.ts";
import {
  AuthorizationWebhook,
  type AuthorizerChain,
  type AuthorizerSettings,
  createAuthorizer,
  parseAuthorizationConfiguration,
} from "#pkg/apiserver/authz/index.ts";
import { systemNodeRules } from "#pkg/apiserver/bootstrap/index.ts";
import type { Authorizer } from "#pkg/apiserver/index.ts";
import type { Reloader } from "#pkg/apiserver/reload/index.ts";
import { UsageError } from "#pkg/config/index.ts";
import type { BuildDeps, Sources } from "./build-deps.ts";
import { followFile } from "./follow-file.ts";
import { inClusterWebhook, reviewWebhook } from "./review-webhook.ts";
import type { CoreSources } from "./security.ts";

type Mode = Exclude<AuthorizerSettings["type"], "Webhook">;

/** The chain of --authorization-config, which is followed while the server runs, or else of --authorization-mode. */
export async function buildAuthorizer(
  deps: BuildDeps,
  sources: Sources,
  core: CoreSources,
  transport: HttpsTransport,
): Promise<AuthorizerChain & { readonly reloader: Reloader | undefined }> {
  const file = deps.flags["authorization-config"];
  const text = file === "" ? undefined : readFileSync(file, "utf8");
  const settings = settingsOf(deps, text);
  const rbacGroup = "rbac.authorization.k8s.io";
  const chain = createAuthorizer({
    modes: await modesOf(settings, deps, transport),
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
  const apply = async (changed: string): Promise<void> => {
    const next = settingsOf(deps, changed);
    const [before, after] = [fixedTypes(settings), fixedTypes(next)];
    if (before !== after)
      throw new Error(`authorizers other than webhooks may not change: there were ${before}, the file has ${after}`);
    chain.use(await modesOf(next, deps, transport));
  };
  return { ...chain, reloader: followFile(deps, "authorization_config_controller", file, text, apply) };
}

/** Types whose authorizers are made once, at the start. */
function fixedTypes(settings: readonly AuthorizerSettings[]): string {
  const types = settings.map(({ type }) => type).filter((type) => type !== "Webhook");
  return types.sort().join(", ");
}

async function modesOf(
  settings: readonly AuthorizerSettings[],
  { clock, log }: BuildDeps,
  transport: HttpsTransport,
): Promise<(Mode | Authorizer)[]> {
  const modes: (Mode | Authorizer)[] = [];
  for (const { type, name, webhook } of settings) {
    if (type !== "Webhook") modes.push(type);
    else if (webhook !== undefined) {
      const { kubeConfigFile, timeoutMs, ...rules } = webhook;
      const config =
        kubeConfigFile === undefined ? inClusterWebhook(timeoutMs) : await reviewWebhook(kubeConfigFile, timeoutMs);
      modes.push(new AuthorizationWebhook({ transport, config, clock, log: log.child({ name }), ...rules }));
    }
  }
  return modes;
}

/** `text` is the file's. */
function settingsOf({ flags }: BuildDeps, text: string | undefined): readonly AuthorizerSettings[] {
  const kubeConfigFile = flags["authorization-webhook-config-file"];
  if (text !== undefined) {
    if (kubeConfigFile !== "" || flags["authorization-mode"].join() !== "Node,RBAC")
      throw new UsageError("--authorization-config excludes --authorization-mode and --authorization-webhook-*");
    return parseAuthorizationConfiguration(decodeYaml(text).value);
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

/** Who calls the kubelet, and may they: client certificates and tokens, judged by the API server. */
import type { TLSSocket } from "node:tls";
import type { UserInfo } from "#pkg/apimachinery/index.ts";
import { DelegatedAuth } from "#pkg/client/index.ts";
import type { DelegatedAuthDeps } from "#pkg/client/index.ts";

/** May the request go on, and on whose behalf? */
export type Verdict =
  | { readonly allowed: true; readonly user: UserInfo }
  | { readonly allowed: false; readonly code: 401 | 403; readonly message: string };

/** The subresources of nodes that a path may be reached by, the finest first (KEP-2862). */
function subresourcesOf(path: string): string[] {
  if (path.startsWith("/stats")) return ["stats"];
  if (path.startsWith("/metrics")) return ["metrics"];
  if (path.startsWith("/logs")) return ["log"];
  if (path.startsWith("/checkpoint")) return ["checkpoint"];
  if (path.startsWith("/healthz")) return ["healthz", "proxy"];
  if (path.startsWith("/pods") || path.startsWith("/runningpods")) return ["pods", "proxy"];
  if (path.startsWith("/configz")) return ["configz", "proxy"];
  return ["proxy"];
}

function verbOf(method: string): string {
  switch (method) {
    case "POST":
      return "create";
    case "PUT":
      return "update";
    case "PATCH":
      return "patch";
    case "DELETE":
      return "delete";
    default:
      return "get";
  }
}

/** What judging requests needs. */
export interface AuthDeps extends DelegatedAuthDeps {
  readonly nodeName: string;
  readonly authorizationMode: "Webhook" | "AlwaysAllow";
}

export class KubeletAuth {
  readonly #deps: AuthDeps;
  readonly #delegated: DelegatedAuth;

  constructor(deps: AuthDeps) {
    this.#deps = deps;
    this.#delegated = new DelegatedAuth(deps);
  }

  async check(
    request: { method: string; path: string; authorization: string | undefined; socket: TLSSocket },
    signal: AbortSignal,
  ): Promise<Verdict> {
    const user = await this.#delegated.authenticate(request.socket, request.authorization, signal);
    if (user === undefined) return { allowed: false, code: 401, message: "Unauthorized" };
    if (this.#deps.authorizationMode === "AlwaysAllow") return { allowed: true, user };
    const verb = verbOf(request.method);
    const subresources = subresourcesOf(request.path);
    for (const subresource of subresources) {
      const node = { verb, group: "", version: "v1", resource: "nodes", subresource, name: this.#deps.nodeName };
      if (await this.#delegated.authorize(user, { resourceAttributes: node }, signal)) return { allowed: true, user };
    }
    return {
      allowed: false,
      code: 403,
      message: `Forbidden (user=${user.name}, verb=${verb}, resource=nodes, subresource(s)=[${subresources.join(" ")}])`,
    };
  }
}

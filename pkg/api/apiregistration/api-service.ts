import { formatTime } from "#pkg/util/index.ts";
import { defineResource } from "../define.ts";
import { ALL_METADATA } from "../resource.ts";
import type { APIService } from "../types/apiregistration-v1.ts";
import { validateAPIService } from "./validation.ts";
import { ageOf } from "../printers/cells.ts";

const DEFAULT_PORT = 443;

export const apiService = defineResource<APIService>({
  group: "apiregistration.k8s.io",
  version: "v1",
  kind: "APIService",
  strategy: {
    allowUnconditionalUpdate: false,
    generation: false,
    defaults({ spec }) {
      if (spec?.service !== undefined) spec.service.port ??= DEFAULT_PORT;
    },
    prepareForCreate(service, { now }) {
      if (service.spec?.service !== undefined) return;
      const condition = {
        type: "Available",
        status: "True",
        reason: "Local",
        message: "Local APIServices are always available",
        lastTransitionTime: formatTime(now),
      };
      service.status = { conditions: [condition] };
    },
    validate: validateAPIService,
    // "v1." names the core group: any path segment will do.
    validateName: () => [],
  },
  status: { resetMetadata: ALL_METADATA },
  printRow(service, now) {
    const { service: backend } = service.spec ?? {};
    const available = service.status?.conditions?.find(({ type }) => type === "Available");
    const state =
      available === undefined
        ? "Unknown"
        : available.status === "True" || !available.reason
          ? available.status
          : `${available.status} (${available.reason})`;
    const where = backend === undefined ? "Local" : `${backend.namespace ?? ""}/${backend.name ?? ""}`;
    return [service.metadata.name, where, state, ageOf(service, now)];
  },
});

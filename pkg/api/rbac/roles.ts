import { defineResource } from "../define.ts";
import type { ClusterRole, ClusterRoleBinding, Role, RoleBinding, Subject } from "../types/rbac-v1.ts";
import { isValidPathSegmentName } from "#pkg/apimachinery/index.ts";
import { printBinding } from "./print.ts";
import {
  validateClusterRole,
  validateClusterRoleBinding,
  validateClusterRoleBindingUpdate,
  validateRole,
  validateRoleBinding,
  validateRoleBindingUpdate,
} from "./validation.ts";

const GROUP = "rbac.authorization.k8s.io";

function defaultSubjects(subjects: Subject[] | undefined): void {
  for (const subject of subjects ?? []) {
    if ((subject.kind === "User" || subject.kind === "Group") && !subject.apiGroup) subject.apiGroup = GROUP;
  }
}
const validateName = isValidPathSegmentName;

export const role = defineResource<Role>({
  group: GROUP,
  version: "v1",
  kind: "Role",
  strategy: { validateName, allowCreateOnUpdate: true, validate: validateRole },
});
export const clusterRole = defineResource<ClusterRole>({
  group: GROUP,
  version: "v1",
  kind: "ClusterRole",
  strategy: { validateName, allowCreateOnUpdate: true, validate: validateClusterRole },
});
export const roleBinding = defineResource<RoleBinding>({
  group: GROUP,
  version: "v1",
  kind: "RoleBinding",
  printRow: printBinding,
  strategy: {
    validateName,
    allowCreateOnUpdate: true,
    validate: validateRoleBinding,
    validateUpdate: validateRoleBindingUpdate,
    defaults: ({ subjects }) => defaultSubjects(subjects),
  },
});
export const clusterRoleBinding = defineResource<ClusterRoleBinding>({
  group: GROUP,
  version: "v1",
  kind: "ClusterRoleBinding",
  printRow: printBinding,
  strategy: {
    validateName,
    allowCreateOnUpdate: true,
    validate: validateClusterRoleBinding,
    validateUpdate: validateClusterRoleBindingUpdate,
    defaults: ({ subjects }) => defaultSubjects(subjects),
  },
});

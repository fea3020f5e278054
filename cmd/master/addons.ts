import { storageClasses } from "#pkg/api/refs.ts";
import type { StorageClass } from "#pkg/api/types/storage-v1.ts";
import { isAlreadyExists } from "#pkg/apimachinery/index.ts";
import type { ApiHandler } from "#pkg/apiserver/index.ts";
import { type Draft, createClient, directTransport } from "#pkg/client/index.ts";
import type { Clock } from "#pkg/util/index.ts";
import { VERSION } from "../common/program.ts";

/** Default storage: directories of the node where the first pod of a claim lands. */
const localPath: Draft<StorageClass> = {
  metadata: { name: "local-path", annotations: { "storageclass.kubernetes.io/is-default-class": "true" } },
  provisioner: "kubits.io/local-path",
  reclaimPolicy: "Delete",
  volumeBindingMode: "WaitForFirstConsumer",
};

/** Creates the objects of the add-ons that are on; what is there already stays as its owner left it. */
export async function applyAddons(handler: ApiHandler, addons: readonly string[], clock: Clock): Promise<void> {
  if (!addons.includes("local-path")) return;
  const user = { name: "system:apiserver", groups: ["system:masters", "system:authenticated"] };
  const client = createClient(directTransport(handler, { user }), { userAgent: `kubits-master/${VERSION}`, clock });
  try {
    await client.create(storageClasses, localPath);
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
  }
}

// An operator as people write them, on the public client library: node operator.ts KUBECONFIG NAMESPACE GROUP. Every Parcel
// gets a ConfigMap with its contents, a phase in its status, and a finalizer that leaves a note when it goes.
import {
  CoreV1Api,
  CustomObjectsApi,
  KubeConfig,
  type KubernetesObject,
  makeInformer,
  PatchStrategy,
  setHeaderOptions,
} from "@kubernetes/client-node";

interface Parcel extends KubernetesObject {
  readonly spec: { readonly contents: string };
  readonly status?: { readonly phase?: string };
}

const [path = "", namespace = "", group = ""] = process.argv.slice(2);
const config = new KubeConfig();
config.loadFromFile(path);
const core = config.makeApiClient(CoreV1Api);
const custom = config.makeApiClient(CustomObjectsApi);
const parcels = { group, version: "v1", namespace, plural: "parcels" };
const FINALIZER = `${group}/farewell`;
const merge = setHeaderOptions("Content-Type", PatchStrategy.MergePatch);

const ignoring = (code: number) => (error: { code?: number }) => {
  if (error.code !== code) throw error;
};

async function reconcile({ metadata, spec, status }: Parcel): Promise<void> {
  const { name = "", uid = "", finalizers = [], deletionTimestamp } = metadata ?? {};
  if (deletionTimestamp !== undefined) {
    if (!finalizers.includes(FINALIZER)) return;
    await core
      .createNamespacedConfigMap({ namespace, body: { metadata: { name: `${name}-was-here` } } })
      .catch(ignoring(409));
    const remaining = finalizers.filter((each) => each !== FINALIZER);
    await custom
      .patchNamespacedCustomObject({ ...parcels, name, body: { metadata: { finalizers: remaining } } }, merge)
      .catch(ignoring(404));
    return;
  }
  if (!finalizers.includes(FINALIZER)) {
    const body = { metadata: { finalizers: [...finalizers, FINALIZER] } };
    await custom.patchNamespacedCustomObject({ ...parcels, name, body }, merge);
    return; // the change brings us back
  }
  const ownerReferences = [{ apiVersion: `${group}/v1`, kind: "Parcel", name, uid, controller: true }];
  const body = { metadata: { name, ownerReferences }, data: { contents: spec.contents } };
  await core.createNamespacedConfigMap({ namespace, body }).catch(ignoring(409));
  await core.replaceNamespacedConfigMap({ name, namespace, body });
  if (status?.phase !== spec.contents)
    await custom.patchNamespacedCustomObjectStatus(
      { ...parcels, name, body: { status: { phase: spec.contents } } },
      merge,
    );
}

const list = () => custom.listNamespacedCustomObject(parcels);
const informer = makeInformer<Parcel>(config, `/apis/${group}/v1/namespaces/${namespace}/parcels`, list);
let turn = Promise.resolve();
const handle = (parcel: Parcel): void => {
  turn = turn.then(() => reconcile(parcel)).catch((error: unknown) => console.error(error));
};
for (const event of ["add", "update"] as const) informer.on(event, handle);
informer.on("error", () => setTimeout(() => void informer.start(), 500));
await informer.start();
console.log("started");

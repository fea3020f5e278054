/**
 * What the API's values mean, for whoever has to go by them: pure functions of a few fields that need no declaration of any
 * kind. The node agent starts without the declarations, which take 6 MiB, and gets by with these.
 */
export { type ImageReference, parseImageReference } from "./image-reference.ts";
export { endOfJob } from "./job-end.ts";
export { fitsNode } from "./node-affinity.ts";
export { type QosClass, qosClassOf } from "./qos.ts";
export { BETA_STORAGE_CLASS, storageClassNameOf } from "./storage-class.ts";
export { toleratesTaint } from "./tolerations.ts";

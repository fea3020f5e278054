import { parseBool } from "#pkg/config/index.ts";

/** Feature gates that are looked at: name → [default at v1.36, whether it can be changed]. */
const GATES = {
  ContainerStopSignals: [false, true],
  GenericWorkload: [false, true],
  InPlacePodVerticalScaling: [true, false],
  MaxUnavailableStatefulSet: [false, true],
  MutatingAdmissionPolicy: [true, true],
  NodeDeclaredFeatures: [true, true],
  PodTopologyLabelsAdmission: [true, true],
  StorageVersionMigrator: [false, true],
  WorkloadWithJob: [false, true],
} as const satisfies Readonly<Record<string, readonly [boolean, boolean]>>;

export type AdmissionGate = keyof typeof GATES;
export type FeatureGates = Readonly<Record<AdmissionGate, boolean>>;

/** The gates with what `--feature-gates` changes of them. @throws TypeError in upstream's words. */
export function featureGates(changes: Readonly<Record<string, string>> = {}): FeatureGates {
  const gates = Object.fromEntries(Object.entries(GATES).map(([name, [on]]) => [name, on]));
  for (const [name, text] of Object.entries(changes)) {
    const gate = Object.hasOwn(GATES, name) ? GATES[name as AdmissionGate] : undefined;
    if (gate === undefined) throw new TypeError(`unrecognized feature gate: ${name}`);
    const value = parseBool(text);
    if (value === undefined)
      throw new TypeError(
        `invalid value of ${name}=${text}, err: strconv.ParseBool: parsing ${JSON.stringify(text)}: invalid syntax`,
      );
    const [on, changeable] = gate;
    if (!changeable && value !== on)
      throw new TypeError(`cannot set feature gate ${name} to ${value}, feature is locked to ${on}`);
    gates[name] = value;
  }
  return gates as FeatureGates;
}

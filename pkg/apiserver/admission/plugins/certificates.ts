import { isDeepStrictEqual } from "node:util";
import type { CertificateSigningRequest } from "#pkg/api/types/certificates-v1.ts";
import type { ClusterTrustBundle } from "#pkg/api/types/certificates-v1beta1.ts";
import { parseCertificateRequest } from "#pkg/pki/index.ts";
import { errorMessage } from "#pkg/util/index.ts";
import type { AdmissionAttributes, AdmissionPlugin, Authorizer } from "../../contract.ts";
import { isOn, objectAs, oldObjectAs, refusal } from "../attributes.ts";

const GROUP = "certificates.k8s.io";

/** May the user use `verb` on this signer, by its name or by its domain (`example.com/*`)? */
async function mayUseSigner(
  authorizer: Authorizer,
  { user }: AdmissionAttributes,
  verb: string,
  signer: string,
): Promise<boolean> {
  for (const name of [signer, `${signer.slice(0, signer.indexOf("/"))}/*`]) {
    const { decision } = await authorizer.authorize({
      user,
      resourceRequest: true,
      verb,
      namespace: "",
      apiGroup: GROUP,
      apiVersion: "*",
      resource: "signers",
      subresource: "",
      name,
    });
    if (decision === "allow") return true;
  }
  return false;
}

function isCsr({ resource, operation, subresource }: AdmissionAttributes, wanted: string): boolean {
  return (
    resource.group === GROUP &&
    resource.plural === "certificatesigningrequests" &&
    operation === "UPDATE" &&
    subresource === wanted
  );
}

/** Approving or denying needs the verb approve on the signer. */
export class CertificateApproval implements AdmissionPlugin {
  readonly name = "CertificateApproval";
  readonly #authorizer: Authorizer;
  constructor(authorizer: Authorizer) {
    this.#authorizer = authorizer;
  }
  handles(attributes: AdmissionAttributes): boolean {
    return isCsr(attributes, "approval");
  }
  async validate(attributes: AdmissionAttributes): Promise<void> {
    const signer = oldObjectAs<CertificateSigningRequest>(attributes)?.spec.signerName ?? "";
    if (await mayUseSigner(this.#authorizer, attributes, "approve", signer)) return;
    throw refusal(attributes, `user not permitted to approve requests with signerName ${JSON.stringify(signer)}`);
  }
}

/** Issuing a certificate needs the verb sign on the signer. */
export class CertificateSigning implements AdmissionPlugin {
  readonly name = "CertificateSigning";
  readonly #authorizer: Authorizer;
  constructor(authorizer: Authorizer) {
    this.#authorizer = authorizer;
  }
  handles(attributes: AdmissionAttributes): boolean {
    return isCsr(attributes, "status");
  }
  async validate(attributes: AdmissionAttributes): Promise<void> {
    const old = oldObjectAs<CertificateSigningRequest>(attributes);
    const { status } = objectAs<CertificateSigningRequest>(attributes);
    const sameCertificate = (old?.status?.certificate ?? "") === (status?.certificate ?? "");
    if (sameCertificate && isDeepStrictEqual(old?.status?.conditions ?? [], status?.conditions ?? [])) return;
    const signer = old?.spec.signerName ?? "";
    if (await mayUseSigner(this.#authorizer, attributes, "sign", signer)) return;
    throw refusal(attributes, `user not permitted to sign requests with signerName ${JSON.stringify(signer)}`);
  }
}

/** Nobody gets a certificate of system:masters through the API. */
export class CertificateSubjectRestriction implements AdmissionPlugin {
  readonly name = "CertificateSubjectRestriction";
  handles(attributes: AdmissionAttributes): boolean {
    return isOn(attributes, GROUP, "certificatesigningrequests", "CREATE");
  }
  async validate(attributes: AdmissionAttributes): Promise<void> {
    const { spec } = objectAs<CertificateSigningRequest>(attributes);
    const signer = "kubernetes.io/kube-apiserver-client";
    if (spec.signerName !== signer) return;
    let organizations: readonly string[];
    try {
      ({ organizations } = await parseCertificateRequest(Buffer.from(spec.request, "base64").toString("utf8")));
    } catch (cause) {
      throw refusal(attributes, `failed to parse CSR: ${errorMessage(cause)}`);
    }
    if (organizations.includes("system:masters"))
      throw refusal(attributes, `use of ${signer} signer with system:masters group is not allowed`);
  }
}

/** Publishing a trust bundle for a signer needs the verb attest on it. */
export class ClusterTrustBundleAttest implements AdmissionPlugin {
  readonly name = "ClusterTrustBundleAttest";
  readonly #authorizer: Authorizer;
  constructor(authorizer: Authorizer) {
    this.#authorizer = authorizer;
  }
  handles(attributes: AdmissionAttributes): boolean {
    return isOn(attributes, GROUP, "clustertrustbundles", "CREATE", "UPDATE");
  }
  async validate(attributes: AdmissionAttributes): Promise<void> {
    const { spec } = objectAs<ClusterTrustBundle>(attributes);
    const old = oldObjectAs<ClusterTrustBundle>(attributes);
    const signer = spec.signerName ?? "";
    if (old !== undefined && isDeepStrictEqual(spec, old.spec)) return;
    if (signer === "" || (await mayUseSigner(this.#authorizer, attributes, "attest", signer))) return;
    throw refusal(attributes, `user not permitted to attest for signerName ${JSON.stringify(signer)}`);
  }
}

/**
 * The library that makes certificates and requests and reads requests. It takes 3 MiB and a good part of a node agent's start, which
 * needs it twice a year: who works with it imports this file when there is something to do.
 */
import "reflect-metadata";

// By name: of a library in CommonJS the bundler cannot tell what `export *` would have to export, and leaves it out.
export {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  Name,
  Pkcs10CertificateRequest,
  Pkcs10CertificateRequestGenerator,
  PublicKey,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from "@peculiar/x509";

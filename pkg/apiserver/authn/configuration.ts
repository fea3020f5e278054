import {
  type CelType,
  compileCel,
  DYN,
  listOf,
  mapOf,
  type Program,
  showType,
  STRING,
  structType,
} from "#pkg/apimachinery/cel/index.ts";
import type { UserInfo } from "#pkg/apimachinery/index.ts";
import { errorMessage } from "#pkg/util/index.ts";
import { type ClaimMapper, type JwtIssuerOptions, requireClaim, stringsOf, usernameOf } from "./oidc.ts";
import { InvalidTokenError } from "./token.ts";

/** A claim with a prefix, or an expression over all claims. */
interface Mapping {
  readonly claim?: string;
  readonly prefix?: string;
  readonly expression?: string;
}
interface Rule {
  readonly claim?: string;
  readonly requiredValue?: string;
  readonly expression?: string;
  readonly message?: string;
}
interface JwtConfiguration {
  readonly issuer: {
    readonly url: string;
    readonly discoveryURL?: string;
    readonly certificateAuthority?: string;
    readonly audiences: readonly string[];
  };
  readonly claimValidationRules?: readonly Rule[];
  readonly claimMappings: {
    readonly username: Mapping;
    readonly groups?: Mapping;
    readonly uid?: Mapping;
    readonly extra?: readonly { readonly key: string; readonly valueExpression: string }[];
  };
  readonly userValidationRules?: readonly { readonly expression: string; readonly message?: string }[];
}

/** What an AuthenticationConfiguration says. */
export interface AuthenticationSettings {
  /** Absent: the flag decides. */
  readonly anonymous?: boolean;
  readonly anonymousPaths?: readonly string[];
  readonly issuers: readonly JwtIssuerOptions[];
}

const CLAIMS = { claims: mapOf(STRING, DYN) };
const USER_TYPE = structType("kubernetes.UserInfo", {
  username: STRING,
  uid: STRING,
  groups: listOf(STRING),
  extra: mapOf(STRING, listOf(STRING)),
});
const API_VERSIONS = new Set(["apiserver.config.k8s.io/v1", "apiserver.config.k8s.io/v1beta1"]);

/**
 * Checks a parsed `--authentication-config` file (KEP-3331) and compiles its expressions.
 * @throws TypeError naming the field that is wrong.
 */
export function parseAuthenticationConfiguration(value: unknown): AuthenticationSettings {
  const file = (value ?? {}) as {
    apiVersion?: string;
    kind?: string;
    jwt?: JwtConfiguration[];
    anonymous?: { enabled?: boolean; conditions?: { path: string }[] };
  };
  if (file.kind !== "AuthenticationConfiguration" || !API_VERSIONS.has(file.apiVersion ?? "")) {
    throw new TypeError("the file must be an AuthenticationConfiguration of apiserver.config.k8s.io/v1");
  }
  const issuers = (file.jwt ?? []).map((jwt, index) => issuerOf(jwt, `jwt[${index}]`));
  const urls = issuers.map(({ issuerUrl }) => issuerUrl);
  const twice = urls.findIndex((url, index) => urls.indexOf(url) !== index);
  if (twice >= 0) throw new TypeError(`jwt[${twice}].issuer.url: Duplicate value: ${JSON.stringify(urls[twice])}`);
  const { anonymous } = file;
  const conditions = anonymous?.conditions ?? [];
  return {
    issuers,
    ...(anonymous === undefined ? {} : { anonymous: anonymous.enabled === true }),
    ...(conditions.length === 0 ? {} : { anonymousPaths: conditions.map(({ path }) => path) }),
  };
}

function issuerOf(jwt: JwtConfiguration, path: string): JwtIssuerOptions {
  const { issuer } = jwt;
  if (URL.parse(issuer?.url ?? "")?.protocol !== "https:")
    throw new TypeError(`${path}.issuer.url: Invalid value: URL scheme must be https`);
  if ((issuer.audiences ?? []).length === 0)
    throw new TypeError(`${path}.issuer.audiences: Required value: at least one audience is required`);
  return {
    issuerUrl: issuer.url,
    ...(issuer.discoveryURL === undefined ? {} : { discoveryUrl: issuer.discoveryURL }),
    ...(issuer.certificateAuthority === undefined ? {} : { ca: issuer.certificateAuthority }),
    audiences: issuer.audiences,
    signingAlgorithms: ["RS256", "RS384", "RS512", "ES256", "ES384", "ES512"],
    map: mapperOf(jwt, path),
  };
}

type Claims = Readonly<Record<string, unknown>>;

function compile(
  expression: string,
  variables: Readonly<Record<string, CelType>>,
  path: string,
  ...types: string[]
): Program {
  let program: Program;
  try {
    program = compileCel(expression, { variables });
  } catch (error) {
    throw new TypeError(
      `${path}: Invalid value: ${JSON.stringify(expression)}: compilation failed: ${errorMessage(error)}`,
      { cause: error },
    );
  }
  const { resultType } = program;
  if (resultType.kind === "dyn" || types.includes(showType(resultType)) || showType(resultType) === "list(dyn)")
    return program;
  throw new TypeError(`${path}: Invalid value: ${JSON.stringify(expression)}: must evaluate to ${types.join(" or ")}`);
}

function evaluate(program: Program, bindings: Claims): unknown {
  const result = program.evaluate(bindings);
  if (result.error !== undefined)
    throw new InvalidTokenError(`oidc: error evaluating claim expression: ${result.error.message}`);
  return result.value;
}

/** Reads one mapped value: undefined when it is not mapped at all. */
function readerOf(
  mapping: Mapping | undefined,
  path: string,
  list: boolean,
): ((claims: Claims) => unknown) | undefined {
  if (mapping === undefined) return undefined;
  const { claim, prefix = "", expression } = mapping;
  if (expression !== undefined && expression !== "") {
    const program = compile(expression, CLAIMS, `${path}.expression`, "string", ...(list ? ["list(string)"] : []));
    return (claims) => evaluate(program, { claims });
  }
  if (claim === undefined || claim === "")
    throw new TypeError(`${path}: Required value: claim or expression is required`);
  return list
    ? (claims) => stringsOf(claims[claim]).map((item) => prefix + item)
    : (claims) => prefix + usernameOf(claims, claim);
}

function mapperOf(jwt: JwtConfiguration, path: string): ClaimMapper {
  const { claimMappings, claimValidationRules = [], userValidationRules = [] } = jwt;
  const mappings = `${path}.claimMappings`;
  const username = readerOf(claimMappings?.username, `${mappings}.username`, false);
  if (username === undefined)
    throw new TypeError(`${mappings}.username: Required value: claim or expression is required`);
  const groups = readerOf(claimMappings.groups, `${mappings}.groups`, true);
  const uid = readerOf(claimMappings.uid, `${mappings}.uid`, false);
  const extra = (claimMappings.extra ?? []).map(({ key, valueExpression }, index) => ({
    key,
    program: compile(valueExpression, CLAIMS, `${mappings}.extra[${index}].valueExpression`, "string", "list(string)"),
  }));
  const rules = claimValidationRules.map((rule, index) => claimRule(rule, `${path}.claimValidationRules[${index}]`));
  const checks = userValidationRules.map(({ expression, message }, index) => ({
    program: compile(expression, { user: USER_TYPE }, `${path}.userValidationRules[${index}].expression`, "bool"),
    message: message ?? `validation expression '${expression}' failed`,
  }));
  return (claims) => {
    for (const rule of rules) rule(claims);
    const name = username(claims);
    if (typeof name !== "string" || name === "")
      throw new InvalidTokenError("oidc: error evaluating username claim expression: not a string");
    const userId = uid?.(claims);
    const extras = extra
      .map(({ key, program }) => [key, stringsOf(evaluate(program, { claims }))] as const)
      .filter(([, values]) => values.length > 0);
    const user: UserInfo = {
      name,
      ...(typeof userId === "string" && userId !== "" ? { uid: userId } : {}),
      groups: groups === undefined ? [] : stringsOf(groups(claims)),
      ...(extras.length === 0 ? {} : { extra: Object.fromEntries(extras) }),
    };
    const bound = { username: user.name, uid: user.uid ?? "", groups: user.groups, extra: user.extra ?? {} };
    for (const { program, message } of checks) {
      if (evaluate(program, { user: bound }) !== true)
        throw new InvalidTokenError(`oidc: error evaluating user info validation rule: ${message}`);
    }
    return user;
  };
}

function claimRule({ claim, requiredValue = "", expression, message }: Rule, path: string): (claims: Claims) => void {
  if (expression === undefined || expression === "") {
    if (claim === undefined || claim === "")
      throw new TypeError(`${path}: Required value: claim or expression is required`);
    return (claims) => requireClaim(claims, claim, requiredValue);
  }
  const program = compile(expression, CLAIMS, `${path}.expression`, "bool");
  return (claims) => {
    if (evaluate(program, { claims }) === true) return;
    throw new InvalidTokenError(
      `oidc: error evaluating claim validation expression: ${message ?? `validation expression '${expression}' failed`}`,
    );
  };
}

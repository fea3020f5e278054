import type { UserInfo } from "#pkg/apimachinery/index.ts";
import { type TokenAuthenticator, type TokenResult, withAuthenticated } from "./token.ts";

/** Splits CSV lines (RFC 4180 quoting); "#" starts a comment line. */
function parseCsv(text: string): string[][] {
  const rows: string[][] = [];
  for (const line of text.split(/\r?\n/)) {
    if (line.trim() === "" || line.startsWith("#")) continue;
    const cells = [...line.matchAll(/(?:^|,)\s*(?:"((?:[^"]|"")*)"|([^,]*))/g)];
    rows.push(
      cells.map(([, quoted, plain]) => (quoted === undefined ? (plain ?? "").trim() : quoted.replaceAll('""', '"'))),
    );
  }
  return rows;
}

/** Tokens of a `--token-auth-file`: token,user,uid[,"group1,group2"]. @throws TypeError naming the bad line. */
export class StaticTokenAuthenticator implements TokenAuthenticator {
  readonly #users = new Map<string, UserInfo>();

  constructor(csv: string) {
    for (const [index, row] of parseCsv(csv).entries()) {
      const [token, name, uid, groups = ""] = row;
      if (token === undefined || token === "" || name === undefined || uid === undefined) {
        throw new TypeError(`token file: record ${index + 1} needs at least 3 columns: token, user name, user uid`);
      }
      this.#users.set(
        token,
        withAuthenticated({
          name,
          uid,
          groups: groups
            .split(",")
            .map((group) => group.trim())
            .filter((group) => group !== ""),
        }),
      );
    }
  }

  authenticateToken(token: string): TokenResult | undefined {
    const user = this.#users.get(token);
    return user === undefined ? undefined : { user };
  }
}

/**
 * The text form of label selectors, as in `?labelSelector=`: `a=b,c!=d,e in (f,g),h notin (i),j,!k,l>1`.
 * Grammar and messages follow apimachinery pkg/labels.
 */
import { fieldInvalid } from "./field-errors.ts";
import { newRequirement, Requirement, Selector, SelectorError, type SelectorOperator, sortByKey } from "./labels.ts";
import { isQualifiedName } from "./validation.ts";

type Token = "identifier" | "in" | "notin" | "!" | "=" | "==" | "!=" | ">" | "<" | "(" | ")" | "," | "end" | "error";
interface Scanned {
  readonly token: Token;
  readonly literal: string;
}

const SYMBOLS = "=!(),<>";
const TOKENS = new Set(["!", "=", "==", "!=", ">", "<", "(", ")", ","]);
const OPERATOR_OF: Readonly<Partial<Record<Token, SelectorOperator>>> = {
  in: "in",
  notin: "notin",
  "=": "=",
  "==": "==",
  "!=": "!=",
  ">": "gt",
  "<": "lt",
};

function scan(text: string): Scanned[] {
  const scanned: Scanned[] = [];
  let position = 0;
  while (position < text.length) {
    const character = text[position]!;
    if (/[ \t\r\n]/.test(character)) {
      position++;
      continue;
    }
    let end = position + 1;
    if (SYMBOLS.includes(character)) {
      // The longest token wins: "==" is one, but "=!" is two.
      if (TOKENS.has(text.slice(position, end + 1))) end++;
      const literal = text.slice(position, end);
      scanned.push({ token: literal as Token, literal });
    } else {
      while (end < text.length && !SYMBOLS.includes(text[end]!) && !/[ \t\r\n]/.test(text[end]!)) end++;
      const literal = text.slice(position, end);
      scanned.push({ token: literal === "in" || literal === "notin" ? literal : "identifier", literal });
    }
    position = end;
  }
  return scanned;
}

class Parser {
  readonly #scanned: readonly Scanned[];
  #position = 0;

  constructor(text: string) {
    this.#scanned = scan(text);
  }

  /** `in` and `notin` are ordinary identifiers except where an operator is due. */
  #peek(operatorDue = false): Scanned {
    const next = this.#scanned[this.#position] ?? { token: "end", literal: "" };
    if (!operatorDue && (next.token === "in" || next.token === "notin"))
      return { token: "identifier", literal: next.literal };
    return next;
  }
  #take(operatorDue = false): Scanned {
    const next = this.#peek(operatorDue);
    this.#position++;
    return next;
  }

  parse(): Requirement[] {
    const requirements: Requirement[] = [];
    for (;;) {
      const { token, literal } = this.#peek();
      if (token === "end") return requirements;
      if (token !== "identifier" && token !== "!")
        throw new SelectorError(`found '${literal}', expected: !, identifier, or 'end of string'`);
      requirements.push(this.#requirement());
      const separator = this.#take();
      if (separator.token === "end") return requirements;
      if (separator.token !== ",")
        throw new SelectorError(`found '${separator.literal}', expected: ',' or 'end of string'`);
      const following = this.#peek();
      if (following.token !== "identifier" && following.token !== "!") {
        throw new SelectorError(`found '${following.literal}', expected: identifier after ','`);
      }
    }
  }

  #requirement(): Requirement {
    try {
      return this.#requirementOrThrow();
    } catch (error) {
      if (error instanceof SelectorError) throw new SelectorError(`unable to parse requirement: ${error.message}`);
      throw error;
    }
  }

  #requirementOrThrow(): Requirement {
    let { token, literal } = this.#take();
    const absent = token === "!";
    if (absent) ({ token, literal } = this.#take());
    if (token !== "identifier") throw new SelectorError(`found '${literal}', expected: identifier`);
    const key = literal;
    const messages = isQualifiedName(key);
    // Upstream validates the key under a nil path, which prints as <nil>.
    if (messages.length > 0) throw new SelectorError(`<nil>: ${fieldInvalid("", key, messages.join("; ")).message}`);
    if (absent) return newRequirement(key, "!", []);
    const next = this.#peek().token;
    if (next === "end" || next === ",") return newRequirement(key, "exists", []);

    const found = this.#take(true);
    const operator = OPERATOR_OF[found.token];
    if (operator === undefined)
      throw new SelectorError(`found '${found.literal}', expected: in, notin, =, ==, !=, gt, lt`);
    const values = operator === "in" || operator === "notin" ? this.#valueSet() : [this.#exactValue()];
    return newRequirement(key, operator, values);
  }

  #exactValue(): string {
    const { token, literal } = this.#peek();
    if (token === "end" || token === ",") return "";
    this.#position++;
    if (token !== "identifier") throw new SelectorError(`found '${literal}', expected: identifier`);
    return literal;
  }

  #valueSet(): string[] {
    const opening = this.#take();
    if (opening.token !== "(") throw new SelectorError(`found '${opening.literal}' expected: '('`);
    const { token, literal } = this.#peek();
    if (token === ")") {
      this.#position++;
      return [""];
    }
    if (token !== "identifier" && token !== ",")
      throw new SelectorError(`found '${literal}', expected: ',', ')' or identifier`);
    const values = this.#identifiers();
    this.#position++; // the closing parenthesis that ended the list
    return values;
  }

  /** Identifiers up to (not including) the closing parenthesis; a missing one between commas is the empty value. */
  #identifiers(): string[] {
    const values: string[] = [];
    for (;;) {
      const { token, literal } = this.#take();
      const following = this.#peek();
      if (token === "identifier") {
        values.push(literal);
        if (following.token === ")") return values;
        if (following.token !== ",") throw new SelectorError(`found '${following.literal}', expected: ',' or ')'`);
      } else if (token === ",") {
        if (values.length === 0) values.push("");
        if (following.token === ")") return [...values, ""];
        if (following.token === ",") {
          this.#position++;
          values.push("");
          if (this.#peek().token === ")") return values;
        }
      } else throw new SelectorError(`found '${literal}', expected: ',', or identifier`);
    }
  }
}

/** @throws SelectorError with upstream's message. The empty text selects everything. */
export function parseLabelSelector(text: string): Selector {
  return new Selector(sortByKey(new Parser(text).parse()));
}

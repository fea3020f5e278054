/** A rewritten link, or the link as it was. */
export type RewriteLink = (link: string) => string;

/** Attributes that hold one link each, by element. */
const LINKS: Readonly<Record<string, readonly string[]>> = {
  a: ["href"],
  applet: ["codebase"],
  area: ["href"],
  audio: ["src"],
  base: ["href"],
  blockquote: ["cite"],
  body: ["background"],
  button: ["formaction"],
  command: ["icon"],
  del: ["cite"],
  embed: ["src"],
  form: ["action"],
  frame: ["longdesc", "src"],
  head: ["profile"],
  html: ["manifest"],
  iframe: ["longdesc", "src"],
  img: ["longdesc", "src", "usemap"],
  input: ["src", "usemap", "formaction"],
  ins: ["cite"],
  link: ["href"],
  object: ["classid", "codebase", "data", "usemap"],
  q: ["cite"],
  script: ["src"],
  source: ["src"],
  video: ["poster", "src"],
};
/** Elements whose content is text, whatever it looks like. */
const TEXT_ONLY = new Set([
  "iframe",
  "noembed",
  "noframes",
  "plaintext",
  "script",
  "style",
  "textarea",
  "title",
  "xmp",
]);
const TAG = /<([a-z][^\s/>]*)(?:[^>"']|"[^"]*"|'[^']*')*>/iy;
const ATTRIBUTE = /([^\s"'>/=]+)(\s*=\s*)("[^"]*"|'[^']*'|[^\s"'>]+)/g;
const COMMENT = "<!--";
/** A tag longer than this is passed on as it is: what waits for its end is held in memory. */
const MAX_TAG_CHARACTERS = 64 * 1024;

/**
 * How links of a page reach their target through the proxy: absolute paths, and links to the backend itself, get the
 * path under which the backend is proxied. `hosts` are the names ("10.0.0.1:80") under which it knows itself.
 */
export function linksThrough(prefix: string, hosts: readonly string[]): RewriteLink {
  return (link) => {
    const [, host, path] = /^(?:(?:[a-z][a-z\d+.-]*:)?\/\/([^/?#]*))?(\/.*)?$/is.exec(link) ?? [];
    if (host === undefined ? path === undefined : !hosts.includes(host)) return link;
    if (path === undefined) return link;
    return path.startsWith(prefix) ? path : `${prefix}${path}`;
  };
}

/** Rewrites the links of an HTML page that arrives piece by piece; every other byte stays as it is. */
export class PageLinks {
  readonly #rewrite: RewriteLink;
  /** What the text up to here ends in, when that may go on as a tag. */
  #pending = "";
  /** In a comment or an element of text: what ends it, in lower case. */
  #until: string | undefined;

  constructor(rewrite: RewriteLink) {
    this.#rewrite = rewrite;
  }

  push(chunk: Buffer): Buffer {
    // One character a byte: tags and links are ASCII, and nothing else is looked at.
    const text = this.#pending + chunk.toString("latin1");
    let done = "";
    let at = 0;
    for (;;) {
      const { out, next, waits } = this.#step(text, at);
      done += out;
      at = next;
      if (waits) break;
    }
    this.#pending = text.slice(at);
    return Buffer.from(done, "latin1");
  }

  /** What was held back: the page has ended within a tag. */
  end(): Buffer {
    return Buffer.from(this.#pending, "latin1");
  }

  /** One piece of text or one tag from `at` on; `waits` when only more text can tell how it goes on. */
  #step(text: string, at: number): { out: string; next: number; waits: boolean } {
    if (this.#until !== undefined) return this.#skipText(text, at, this.#until);
    const start = text.indexOf("<", at);
    if (start < 0) return { out: text.slice(at), next: text.length, waits: true };
    const before = text.slice(at, start);
    if (text.startsWith(COMMENT, start)) {
      this.#until = "-->";
      return { out: before + COMMENT, next: start + COMMENT.length, waits: false };
    }
    TAG.lastIndex = start;
    const tag = TAG.exec(text);
    if (tag !== null) return { out: before + this.#tag(tag), next: TAG.lastIndex, waits: false };
    const rest = text.length - start;
    const unfinished = rest === 1 || /[a-z]/i.test(text[start + 1]!) || COMMENT.startsWith(text.slice(start));
    if (unfinished && rest <= MAX_TAG_CHARACTERS) return { out: before, next: start, waits: true };
    return { out: `${before}<`, next: start + 1, waits: false };
  }

  #skipText(text: string, at: number, until: string): { out: string; next: number; waits: boolean } {
    const end = text.toLowerCase().indexOf(until, at);
    if (end >= 0) this.#until = undefined;
    const next = end >= 0 ? end + until.length : Math.max(at, text.length - until.length + 1);
    return { out: text.slice(at, next), next, waits: end < 0 };
  }

  #tag([tag, element]: RegExpExecArray): string {
    const name = element!.toLowerCase();
    if (TEXT_ONLY.has(name)) this.#until = `</${name}`;
    const links = Object.hasOwn(LINKS, name) ? LINKS[name]! : [];
    if (links.length === 0) return tag;
    const attributes = tag.slice(1 + name.length);
    const rewritten = attributes.replace(ATTRIBUTE, (whole, key: string, equals: string, value: string) => {
      if (!links.includes(key.toLowerCase())) return whole;
      const quote = /^["']/.exec(value)?.[0] ?? "";
      const link = value.slice(quote.length, value.length - quote.length);
      return `${key}${equals}${quote}${this.#rewrite(link.trim())}${quote}`;
    });
    return `<${element}${rewritten}`;
  }
}

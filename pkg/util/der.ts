/** One DER element: where its contents lie inside the buffer. */
export interface DerElement {
  readonly tag: number;
  /** Offset of the tag byte. */
  readonly start: number;
  readonly contents: number;
  readonly end: number;
}

/** Reads the element at `offset`. @throws RangeError when it does not fit into the buffer (definite lengths only). */
export function readElement(der: Uint8Array, offset: number, limit = der.length): DerElement {
  if (offset + 2 > limit) throw new RangeError("truncated DER element");
  const tag = der[offset]!;
  let length = der[offset + 1]!;
  let contents = offset + 2;
  if (length > 0x7f) {
    const lengthBytes = length & 0x7f;
    if (lengthBytes === 0 || lengthBytes > 4 || contents + lengthBytes > limit) throw new RangeError("bad DER length");
    length = 0;
    for (let i = 0; i < lengthBytes; i++) length = length * 256 + der[contents++]!;
  }
  if (contents + length > limit) throw new RangeError("DER element exceeds its container");
  return { tag, start: offset, contents, end: contents + length };
}

/** The direct children of a constructed element. */
export function children(der: Uint8Array, parent: DerElement): DerElement[] {
  const found: DerElement[] = [];
  for (let offset = parent.contents; offset < parent.end;) {
    const child = readElement(der, offset, parent.end);
    found.push(child);
    offset = child.end;
  }
  return found;
}

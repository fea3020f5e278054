const FIELD = '"managedFields":[{';
const METADATA = '"metadata":';
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPENING_BRACE = 0x7b;
const CLOSING_BRACE = 0x7d;
const COMMA = 0x2c;

/**
 * Parses a watch event without its object's `metadata.managedFields`: who set which field is half of an object's size and
 * more than half of its parsing, and no controller asks. An update that lacks the field leaves what is stored.
 */
export function parseWithoutManagedFields(event: string): unknown {
  const lean = withoutManagedFields(event);
  if (lean === event) return JSON.parse(event);
  try {
    return JSON.parse(lean);
  } catch {
    // The bracket was part of a string: the string's second half cannot be read as JSON. The whole can.
    return JSON.parse(event);
  }
}

function withoutManagedFields(event: string): string {
  // Within a JSON string quotes are escaped, so these characters are a field, and nothing else, wherever they stand.
  const start = event.indexOf(FIELD);
  if (start < 0 || !isInObjectMetadata(event, start)) return event;
  // Field sets hold objects and no lists, so the first bracket ends the list, unless it stands in a key.
  const end = event.indexOf("]", start) + 1;
  if (end === 0 || event.charCodeAt(end - 2) !== CLOSING_BRACE) return event;
  if (event.charCodeAt(start - 1) === COMMA) return event.slice(0, start - 1) + event.slice(end);
  return event.slice(0, start) + event.slice(event.charCodeAt(end) === COMMA ? end + 1 : end);
}

/** Does `{"object":{"metadata":{` and nothing else enclose the position? A pod template has metadata, too. */
function isInObjectMetadata(text: string, position: number): boolean {
  const open: number[] = [];
  for (let i = 0; i < position; i++) {
    const code = text.charCodeAt(i);
    if (code === QUOTE) i = endOfString(text, i + 1);
    else if (code === OPENING_BRACE) open.push(i);
    else if (code === CLOSING_BRACE) open.pop();
  }
  return open.length === 3 && text.startsWith(METADATA, open[2]! - METADATA.length);
}

/** Position of the quote that ends the string whose content starts at `from`. */
function endOfString(text: string, from: number): number {
  for (let i = from; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === QUOTE) return i;
    if (code === BACKSLASH) i++;
  }
  return text.length;
}

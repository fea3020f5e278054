/**
 * Reads a file of `name value` lines, as cpu.stat, memory.stat and memory.events are: answers the value of a name, 0 for one
 * that is not there. Pure.
 */
export function flatKeyed(text: string | undefined): (name: string) => number {
  const lines = (text ?? "").split("\n").map((line) => line.split(" "));
  const values = new Map(lines.map(([name = "", value]) => [name, value]));
  return (name) => Number(values.get(name) ?? 0);
}

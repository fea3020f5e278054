type Method = (...args: unknown[]) => unknown;

/** The same object with every call of a method in `around`'s hands. */
export function wrapped<T extends object>(
  target: T,
  around: (name: PropertyKey, call: () => unknown, args: readonly unknown[]) => unknown,
): T {
  return new Proxy(target, {
    get(object, name) {
      const value = Reflect.get(object, name) as unknown;
      if (typeof value !== "function") return value;
      return (...args: unknown[]) => around(name, () => (value as Method).apply(object, args), args);
    },
  });
}

import type { AnyObject } from "#pkg/apimachinery/index.ts";
import { keyOf, keyString } from "#pkg/apimachinery/index.ts";
import type { EventHandler, InformerFactory, SharedInformer } from "#pkg/client/index.ts";

class ManualInformer {
  readonly objects = new Map<string, AnyObject>();
  readonly handlers = new Set<EventHandler<AnyObject>>();
}

/** Informers that tests feed by hand. They have synced from the start. */
export class ManualInformers implements InformerFactory {
  readonly #byPlural = new Map<string, ManualInformer>();

  #of(plural: string): ManualInformer {
    const found = this.#byPlural.get(plural) ?? new ManualInformer();
    this.#byPlural.set(plural, found);
    return found;
  }

  set(plural: string, object: AnyObject): void {
    const { objects, handlers } = this.#of(plural);
    const key = keyString(keyOf(object));
    const old = objects.get(key);
    objects.set(key, object);
    for (const handler of handlers) {
      if (old === undefined) handler.onAdd?.(object, false);
      else handler.onUpdate?.(object, old);
    }
  }

  delete(plural: string, object: Pick<AnyObject, "metadata">): void {
    const { objects, handlers } = this.#of(plural);
    const key = keyString(keyOf(object as AnyObject));
    const old = objects.get(key);
    if (old === undefined) return;
    objects.delete(key);
    for (const handler of handlers) handler.onDelete?.(old);
  }

  informer<T extends AnyObject>(resource: { readonly plural: string }): SharedInformer<T> {
    const state = this.#of(resource.plural);
    return {
      lister: {
        get: (key) => state.objects.get(keyString(key)) as T | undefined,
        list: () => [...state.objects.values()] as T[],
        byIndex: () => [],
      },
      synced: () => Promise.resolve(),
      addIndex: () => undefined,
      addHandler: (handler) => {
        const entry = handler as EventHandler<AnyObject>;
        state.handlers.add(entry);
        for (const object of state.objects.values()) entry.onAdd?.(object, true);
        return () => state.handlers.delete(entry);
      },
    };
  }

  stop(): void {}
  start(): void {}
  synced(): Promise<void> {
    return Promise.resolve();
  }
}

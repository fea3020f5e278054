import { LRUCache } from "lru-cache";

/**
 * Keeps the `max` most recently used entries, in memory that grows with what is in it. LRUCache's own `max` allocates
 * for the full number at once, which is a waste where there are many caches and most stay nearly empty.
 */
export function growingLru<K extends {}, V extends {}>(max: number): LRUCache<K, V> {
  return new LRUCache<K, V>({ maxSize: max, sizeCalculation: () => 1 });
}

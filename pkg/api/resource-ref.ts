/**
 * Names one served resource and carries the type of its objects, so that
 * `client.get(pods, key)` is typed as Pod without a cast.
 */
export interface ResourceRef<T> {
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly kind: string;
  readonly namespaced: boolean;
  /** Type carrier only; never present at run time. */
  readonly objectType?: T;
}

/** A patch that cannot be read or does not apply; the message is the one clients of the API see. */
export class PatchError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "PatchError";
  }
}

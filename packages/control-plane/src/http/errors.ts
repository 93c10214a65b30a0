/**
 * An expected failure of a call, answered as `{"code": <status>, "message": …}`. The CLI reads the status from the
 * body's `code` (Pulumi CLI sdk/go/common/apitype/errors.go), so both are always the same.
 */
export class HttpError extends Error {
  override readonly name = 'HttpError';
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export const badRequest = (message: string) => new HttpError(400, message);
export const unauthorized = (message: string) => new HttpError(401, message);
export const forbidden = (message: string) => new HttpError(403, message);
export const notFound = (message: string) => new HttpError(404, message);
export const contentTooLarge = (what: string, maximumBytes: number) =>
  new HttpError(413, `Content Too Large: ${what} has at most ${maximumBytes / 1024 / 1024} MiB.`);
export const conflict = (message: string) => new HttpError(409, message);
export const serviceUnavailable = (message: string) => new HttpError(503, message);
export const insufficientStorage = (message: string) => new HttpError(507, message);

/** The control plane did not answer, or not with an answer of the contract: the same call may be tried again. */
export class ControlPlaneUnavailable extends Error {
  override readonly name = 'ControlPlaneUnavailable';
}

/** The control plane understood the call and refused it: trying again does not help. */
export class CallRefused extends Error {
  override readonly name = 'CallRefused';
  readonly status: number;

  constructor(call: string, status: number, message: string) {
    super(`The control plane refused "${call}" (${status}): ${message}`);
    this.status = status;
  }
}

/** The lease token is no longer the run's: the run is somebody else's now, or over. */
export class Fenced extends Error {
  override readonly name = 'Fenced';

  constructor(call: string, message: string) {
    super(`The control plane has taken the run away; it answered "${call}": ${message}`);
  }
}

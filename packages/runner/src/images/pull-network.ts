/** The network in which registries are asked. */
export interface PullNetwork {
  /** The way to a registry. Throws `ImageUnavailableError` where there is none. */
  to(reference: string, registry: string): Promise<PullWay>;
  close(): Promise<void>;
}

export interface PullWay extends AsyncDisposable {
  /** Puts a command into the network. */
  readonly enter: readonly string[];
  /** Whether it does not lead to private addresses. */
  readonly isClosed: boolean;
}

/** The network of the host, with all that can be reached from there. */
export const hostNetwork: PullNetwork = {
  to: async () => ({ enter: [], isClosed: false, [Symbol.asyncDispose]: async () => {} }),
  close: async () => {},
};

export interface ListenAddress {
  readonly host: string;
  /** 0 picks a free one. */
  readonly port: number;
}

/** `host:port`, or a port alone on loopback, as an address to listen on. Throws an `Error` for the user. */
export function parseListenAddress(text: string): ListenAddress {
  const match = /^(?:(?<host>[^:]+|\[[0-9a-fA-F:]+\]):)?(?<port>\d{1,5})$/.exec(text);
  const port = Number(match?.groups?.port ?? Number.NaN);
  if (!match || port > 65535)
    throw new Error(`"${text}" is not an address to listen on; write host:port, e.g. 127.0.0.1:8900.`);
  return { host: (match.groups?.host ?? '127.0.0.1').replace(/^\[|\]$/g, ''), port };
}

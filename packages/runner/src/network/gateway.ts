import {
  createServer,
  Agent as HttpAgent,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request as requestHttp,
  type ServerResponse,
} from 'node:http';
import { Agent as HttpsAgent, request as requestHttps } from 'node:https';
import { isIP } from 'node:net';
import { getCACertificates } from 'node:tls';
import { gatewayHostname } from './sandbox-network.ts';

export interface GatewayOptions {
  /** The control plane, `http://…` or `https://…`; a path before its routes is kept. */
  readonly controlPlaneUrl: URL;
  /** Certificate authorities in PEM, besides the ones that Node knows, for a control plane with a private one. */
  readonly extraCertificates?: string;
}

/** The control plane as one sandbox sees it. */
export interface Gateway {
  /** TCP port on the host's 127.0.0.1. */
  readonly port: number;
  /** Ends every connection. */
  close(): Promise<void>;
}

/** Of one sandbox. `pulumi` keeps a handful of connections open; a flood waits at the sandbox's own door. */
const maximumConnections = 128;
const maximumHeaderBytes = 32 * 1024;
const headersTimeoutMilliseconds = 30_000;
/** The longest upload, also out of an emulated machine. */
const requestTimeoutMilliseconds = 15 * 60_000;
/** Silence of the control plane after which it counts as gone. Longer than any of its long polls. */
const upstreamSilenceMilliseconds = 5 * 60_000;

/** RFC 9110, 7.6.1: they concern one connection and are not passed on. */
const hopByHopHeaders = new Set([
  ...['connection', 'keep-alive', 'proxy-authenticate', 'proxy-authorization', 'proxy-connection'],
  ...['te', 'trailer', 'transfer-encoding', 'upgrade'],
]);
/** A sandbox has no say in where it comes from. */
const forwardingHeaders = /^(forwarded|x-forwarded-.*|x-real-ip)$/;

/**
 * Starts a reverse proxy on the host's loopback that leads to the control plane and nowhere else: path, query, method
 * and body are the sandbox's, the destination is not. Bodies stream both ways, with back-pressure. The control plane
 * sees `Host: slipway.internal`.
 *
 * One gateway per sandbox, so that one that floods does not take its neighbours' connections.
 */
export async function startGateway({
  controlPlaneUrl,
  extraCertificates = '',
}: GatewayOptions): Promise<Gateway> {
  const secure = controlPlaneUrl.protocol === 'https:';
  const agentOptions = {
    keepAlive: true,
    maxSockets: maximumConnections,
    timeout: upstreamSilenceMilliseconds,
  };
  const agent = secure
    ? new HttpsAgent({ ...agentOptions, ca: [...getCACertificates('default'), extraCertificates] })
    : new HttpAgent(agentOptions);
  const request = secure ? requestHttps : requestHttp;
  const hostname = controlPlaneUrl.hostname.replace(/^\[|\]$/g, '');
  const basePath = controlPlaneUrl.pathname.replace(/\/$/, '');

  function forward(incoming: IncomingMessage, answer: ServerResponse): void {
    const path = incoming.url ?? '';
    // An absolute URL asks for a proxy to anywhere.
    if (!path.startsWith('/')) {
      fail(answer, 400, `The gateway only leads to the control plane; ask for a path, not for "${path}".`);
      return;
    }
    if (leavesFolder(path)) {
      fail(
        answer,
        400,
        `The gateway passes on no path with "." or ".." in it; ask for it in its short form.`,
      );
      return;
    }
    const outgoing = request({
      agent,
      hostname,
      port: controlPlaneUrl.port,
      method: incoming.method,
      path: basePath + path,
      headers: { ...endToEndHeaders(incoming.headers), ...framing(incoming.headers), host: gatewayHostname },
      // By default the Host header would decide whose certificate is expected.
      ...(secure && { servername: isIP(hostname) ? '' : hostname }),
      timeout: upstreamSilenceMilliseconds,
    });
    outgoing.once('timeout', () => outgoing.destroy(new Error('no answer for five minutes')));
    outgoing.once('response', (response) => {
      answer.writeHead(response.statusCode ?? 502, endToEndHeaders(response.headers));
      answer.flushHeaders();
      response.once('error', () => answer.destroy());
      response.pipe(answer);
      // Answered before it read everything: the rest is of no use to anyone.
      response.once('end', () => incoming.unpipe(outgoing));
    });
    outgoing.once('error', (error) => {
      if (answer.headersSent) return;
      fail(
        answer,
        502,
        `The control plane does not answer (${error.message}). The runner keeps trying; see its log.`,
      );
    });
    answer.once('close', () => outgoing.destroy());
    outgoing.flushHeaders();
    incoming.pipe(outgoing);
  }

  const server = createServer(
    {
      maxHeaderSize: maximumHeaderBytes,
      headersTimeout: headersTimeoutMilliseconds,
      requestTimeout: requestTimeoutMilliseconds,
    },
    (incoming, answer) => {
      try {
        forward(incoming, answer);
      } catch (error) {
        // Node's client is stricter than its server about the characters of paths and headers.
        fail(answer, 400, `The request cannot be passed on: ${String(error)}`);
      }
    },
  );
  server.maxConnections = maximumConnections;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the gateway has no TCP port');

  return {
    port: address.port,
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      agent.destroy();
      await closed;
    },
  };
}

/**
 * Whether a path has dot segments, in any spelling that a server might resolve: the control plane may share its host
 * with others, below a path of its own.
 */
function leavesFolder(path: string): boolean {
  const plain = (path.split(/[?#]/, 1)[0] ?? '').replaceAll(/%2e/gi, '.').replaceAll(/%2f|%5c|\\/gi, '/');
  return plain.split('/').some((segment) => /^\.\.?(;.*)?$/.test(segment));
}

function endToEndHeaders(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  const named = new Set((headers.connection ?? '').toLowerCase().split(/\s*,\s*/));
  // Nobody may have the length of a body taken away from it: what follows would be read as another request.
  named.delete('content-length');
  return Object.fromEntries(
    Object.entries(headers).filter(
      ([name]) => !hopByHopHeaders.has(name) && !named.has(name) && !forwardingHeaders.test(name),
    ),
  );
}

/** A body of unknown length stays one, whatever the method: Node only chunks by itself for methods that have bodies. */
function framing(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  return headers['transfer-encoding'] === undefined ? {} : { 'transfer-encoding': 'chunked' };
}

/** Errors in the shape that the `pulumi` CLI shows to its user. */
function fail(answer: ServerResponse, code: number, message: string): void {
  const body = JSON.stringify({ code, message });
  answer.writeHead(code, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    connection: 'close',
  });
  answer.end(body);
}

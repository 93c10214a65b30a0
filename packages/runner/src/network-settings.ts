import type { NetworkSettings } from '@slipway/core';
import { gatewayHostname, gatewayUrl } from './network/sandbox-network.ts';
import type { ProxyOptions, RunnerOptions } from './runner-options.ts';

/** What reaches git, npm, Node, pip, curl and `pulumi` inside. Loopback and the gateway never go through a proxy. */
export function networkSettings({ extraCertificates, proxy }: RunnerOptions): NetworkSettings {
  return {
    gatewayUrl,
    extraCertificates,
    proxy: {
      ...(proxy.http && { http: proxy.http }),
      ...(proxy.https && { https: proxy.https }),
      noProxy: directHosts(proxy),
    },
  };
}

function directHosts({ noProxy }: ProxyOptions): string {
  const wanted = (noProxy ?? '')
    .split(',')
    .map((host) => host.trim())
    .filter((host) => host !== '');
  return [...new Set([...wanted, 'localhost', '127.0.0.1', '::1', gatewayHostname])].join(',');
}

import type { EgressPolicy, NetworkSettings } from '@slipway/core';
import { RunEnded } from './ending.ts';
import type { LiveRun } from './live-run.ts';

/** What the run may reach. Ends the run where that cannot be held. */
export function egressPolicyOf(run: LiveRun): EgressPolicy {
  const { egress } = run.outline.sandbox;
  const { proxy } = run.context.network;
  const used = proxy.https ?? proxy.http;
  if (egress.mode === 'allow' && used !== undefined) {
    throw new RunEnded(
      'egress-refused',
      `Its egress policy lists hosts, and this runner reaches the outside through the proxy ${withoutLogin(used)}: what a run asks of a proxy cannot be held to a list. Use the policy "open" and let the proxy filter, or a runner without one.`,
    );
  }
  return egress;
}

/** What the run is told of the network: a proxy only where it may be reached. */
export function networkSettingsOf(run: LiveRun): NetworkSettings {
  const { network } = run.context;
  if (run.outline.sandbox.egress.mode !== 'none') return network;
  const { noProxy } = network.proxy;
  return { ...network, proxy: { noProxy } };
}

function withoutLogin(proxy: string): string {
  return URL.parse(proxy)?.host ?? proxy.replace(/^.*@/, '');
}

import { checkServerUrl } from './control-plane-client/server-url.ts';
import { startGateway } from './network/gateway.ts';
import { createSandboxNetwork } from './network/pasta-network.ts';
import type { SandboxNetwork } from './network/sandbox-network.ts';
import type { RunnerOptions } from './runner-options.ts';

/** The network of one sandbox, with a gateway of its own that leads to the control plane. They end together. */
export async function createGatedNetwork(options: RunnerOptions): Promise<SandboxNetwork> {
  const gateway = await startGateway({
    controlPlaneUrl: checkServerUrl(options.serverUrl, options.insecureHttp ?? false),
    ...(options.serverCertificateAuthority && { extraCertificates: options.serverCertificateAuthority }),
  });
  try {
    const network = await createSandboxNetwork({
      gatewayHostPort: gateway.port,
      allowedPrivateNetworks: options.allowedPrivateNetworks,
    });
    return {
      enter: network.enter,
      furtherUserIds: network.furtherUserIds,
      namespacePath: network.namespacePath,
      gatewayAddress: network.gatewayAddress,
      nameserver: network.nameserver,
      open: (policy) => network.open(policy),
      egress: () => network.egress(),
      destroy: async () => {
        await Promise.all([network.destroy(), gateway.close()]);
      },
    };
  } catch (error) {
    await gateway.close();
    throw error;
  }
}

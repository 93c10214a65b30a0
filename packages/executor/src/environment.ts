import type { FrameToExecutor, Job } from '@slipway/core';
import type { CertificateFiles } from './certificates.ts';
import type { Layout } from './layout.ts';

export type Environment = Readonly<Record<string, string>>;

export type JobFrame = Extract<FrameToExecutor, { type: 'job' }>;

const defaultPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/**
 * Environment of the steps: the image's, then what the network needs, then what describes the run, then the user's
 * variables, which override all of it. Nothing of the executor's own environment is in it.
 */
export function stepEnvironment(
  { job, network, imageEnvironment }: JobFrame,
  layout: Layout,
  certificates: CertificateFiles | null,
  home: string,
): Environment {
  return {
    PATH: defaultPath,
    HOME: home,
    ...imageEnvironment,
    ...(certificates && certificateVariables(certificates)),
    ...bothCases({ HTTP_PROXY: network.proxy.http, HTTPS_PROXY: network.proxy.https }),
    ...runVariables(job, network.gatewayUrl),
    ...(layout.environmentFileMoved && { PULUMI_ENV_FILE: layout.environmentFile }),
    ...job.environment,
  };
}

/**
 * `environment` with loopback and the gateway among the hosts that are reached without a proxy, whoever set the
 * proxy: through one, neither can be reached.
 */
export function withDirectHosts(environment: Environment, network: JobFrame['network']): Environment {
  const gateway = new URL(network.gatewayUrl).hostname;
  const wanted = [environment.NO_PROXY, environment.no_proxy, network.proxy.noProxy]
    .flatMap((list) => list?.split(',') ?? [])
    .map((host) => host.trim())
    .filter((host) => host !== '');
  const hosts = new Set([...wanted, 'localhost', '127.0.0.1', '::1', gateway]);
  return { ...environment, ...bothCases({ NO_PROXY: [...hosts].join(',') }) };
}

/** Programs disagree about the case of the proxy variables: curl reads `http_proxy` alone. */
function bothCases(variables: Readonly<Record<string, string | undefined>>): Environment {
  return Object.fromEntries(
    Object.entries(variables).flatMap(([name, value]) =>
      value === undefined
        ? []
        : [
            [name, value],
            [name.toLowerCase(), value],
          ],
    ),
  );
}

/** The variables by which git, curl, Node, npm, Python, Go (`pulumi`) and the AWS tools find certificate authorities. */
function certificateVariables({ bundle, extra }: CertificateFiles): Environment {
  return {
    SSL_CERT_FILE: bundle,
    GIT_SSL_CAINFO: bundle,
    CURL_CA_BUNDLE: bundle,
    REQUESTS_CA_BUNDLE: bundle,
    PIP_CERT: bundle,
    AWS_CA_BUNDLE: bundle,
    npm_config_cafile: bundle,
    // Node adds these to its own: the whole bundle would be parsed again by each process.
    NODE_EXTRA_CA_CERTS: extra,
  };
}

/** Names as in a deployment of Pulumi Cloud; the CLI turns the generic CI ones into metadata of the update. */
function runVariables(job: Job, gatewayUrl: string): Environment {
  const { branch, tag } = job.source;
  return {
    PULUMI_ACCESS_TOKEN: job.jobToken,
    PULUMI_BACKEND_URL: gatewayUrl,
    PULUMI_SERVICE_URL: `${gatewayUrl}/api`,
    PULUMI_SKIP_UPDATE_CHECK: 'true',
    PULUMI_CI_SYSTEM: 'Pulumi Deployments',
    PULUMI_CI_BUILD_ID: job.deployment.id,
    PULUMI_CI_BUILD_NUMBER: String(job.deployment.version),
    ...(job.consoleUrl !== '' && { PULUMI_CI_BUILD_URL: job.consoleUrl }),
    PULUMI_CI_ORGANIZATION: job.stack.organization,
    PULUMI_CI_PROJECT: job.stack.project,
    PULUMI_CI_STACK: job.stack.stack,
    PULUMI_CI_OPERATION: job.operation,
    ...(branch && { PULUMI_CI_BRANCH_NAME: branch.replace(/^refs\/heads\//, '') }),
    ...(tag && { PULUMI_CI_TAG_NAME: tag.replace(/^refs\/tags\//, '') }),
  };
}

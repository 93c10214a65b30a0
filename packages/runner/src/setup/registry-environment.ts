import { existsSync } from 'node:fs';

/** Where Debian and its derivatives keep the host's certificate authorities, private ones included. */
const hostCertificates = '/etc/ssl/certs/ca-certificates.crt';

/** The variables by which npm, Node, pip, Go, git and curl are told of certificate authorities. */
const certificateVariables = [
  'NODE_EXTRA_CA_CERTS',
  'npm_config_cafile',
  'PIP_CERT',
  'REQUESTS_CA_BUNDLE',
  'SSL_CERT_FILE',
  'GIT_SSL_CAINFO',
  'CURL_CA_BUNDLE',
];

/**
 * The environment in which package registries are asked. npm and pip bring certificate authorities of their own and
 * would not know those that the host's administrator added; what the user has set stays as it is.
 */
export function registryEnvironment(environment: NodeJS.ProcessEnv = process.env): NodeJS.ProcessEnv {
  if (!existsSync(hostCertificates)) return environment;
  const defaults = Object.fromEntries(certificateVariables.map((name) => [name, hostCertificates]));
  return { ...defaults, ...environment };
}

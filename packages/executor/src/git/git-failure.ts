import type { CommandEnd } from '../command.ts';
import { StepFailure } from '../step.ts';

/** What the lines that git and ssh print on failure mean, the most telling first. */
const meanings: readonly (readonly [pattern: RegExp, meaning: string, remedy: string])[] = [
  [
    /Host key verification failed|HOST IDENTIFICATION HAS CHANGED/,
    'its server has another host key than the known hosts say',
    'Correct the known hosts (of the executor image, or in SLIPWAY_GIT_KNOWN_HOSTS), unless somebody stands between.',
  ],
  [
    /incorrect passphrase|error in libcrypto|invalid format/,
    'the ssh key could not be read',
    'Check the private key and its passphrase in the deployment settings.',
  ],
  [
    /Authentication failed|could not read (Username|Password)|Permission denied|error: 40[13]|HTTP Basic: Access denied/,
    'access was denied',
    'Check the git credentials in the deployment settings: they need read access to this repository.',
  ],
  [
    /SSL certificate|certificate verif|server certificate/i,
    'the certificate of its server is not trusted',
    'Give the runner the certificate authority with its setting for extra certificates.',
  ],
  [
    /Could not resolve (host|proxy)|Failed to connect|Connection (refused|timed out|reset)|Operation too slow|timed out|No route to host|unable to access.*error: 5\d\d|Network is unreachable/i,
    'its server could not be reached',
    'Check the host name, and whether the network policy of the runner permits it.',
  ],
  [
    /Repository not found|not found|does not (exist|appear to be a git repository)|no such repository/i,
    'it does not exist, or it is private and the settings hold no git credentials for it',
    'Check its address and the git credentials in the deployment settings.',
  ],
];

/** The failure of the step, after git could not read from `subject`: "The repository …". */
export function explainGitFailure(subject: string, { lastLines, shortage }: CommandEnd): StepFailure {
  if (shortage)
    return new StepFailure(shortage.cause, `${subject} could not be read: ${shortage.explanation}`);
  const known = meanings.find(([pattern]) => lastLines.some((line) => pattern.test(line)));
  const [, meaning, remedy] = known ?? [
    null,
    `git said: ${lastLines.at(-1) ?? 'nothing'}`,
    'Read the log of the step "Get source".',
  ];
  return new StepFailure('source-unavailable', `${subject} could not be read: ${meaning}. ${remedy}`);
}

import { homedir } from 'node:os';
import { join } from 'node:path';
import { InvalidArgumentError, Option } from 'commander';
import { variableName } from './configuration.ts';

/** Longer would only hide a run that does not end: half a day. */
const maximumGraceSeconds = 43_200;

/** What the API answers in one page. */
const maximumListLength = 100;

/** An option that can also be set by its `SLIPWAY_*` variable or in the configuration file. */
function setting(flags: string, description: string): Option {
  const option = new Option(flags, description);
  return option.env(variableName(option.name()));
}

const positiveInteger = (text: string): number => {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1)
    throw new InvalidArgumentError('It must be a whole number from 1 on.');
  return value;
};

const wholeNumber = (text: string): number => {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('It must be a whole number from 0 on.');
  return Number(text);
};

const factor = (text: string): number => {
  const value = Number(text);
  if (!(value >= 1 && value <= 100)) throw new InvalidArgumentError('It must be a number from 1 to 100.');
  return value;
};

const seconds = (text: string): number => {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value > maximumGraceSeconds)
    throw new InvalidArgumentError(`It must be a whole number of seconds from 0 to ${maximumGraceSeconds}.`);
  return value;
};

const listLength = (text: string): number => {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < 1 || value > maximumListLength)
    throw new InvalidArgumentError(`It must be a whole number from 1 to ${maximumListLength}.`);
  return value;
};

const list = (text: string): string[] =>
  text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');

/** A flag of commands whose result a program may want to read. */
export interface JsonFlag {
  json?: boolean;
}
export const jsonOption = () => new Option('--json', 'print the result as JSON');
export const dataDirectoryOption = () =>
  setting('--data-dir <directory>', 'where database, keys and tokens are kept').default(
    join(homedir(), '.slipway'),
  );
export const organizationOption = () =>
  setting('--organization <name>', 'organization that the first start makes').default('local');
export const serverOptions = () => [
  setting('--listen <host:port>', 'address of the API').default('127.0.0.1:8900'),
  dataDirectoryOption(),
  organizationOption(),
  setting('--database-url <url>', 'PostgreSQL server to use in place of the embedded one'),
  setting('--master-key <base64>', 'key of all encryption (32 bytes), in place of <data-dir>/master-key'),
  setting('--public-url <url>', 'URL under which users reach the API, when it is not the listening address'),
  setting(
    '--blob-storage <url>',
    'where runners share large things: s3://BUCKET/PREFIX?region=REGION&endpoint=URL (a folder of the data directory when absent)',
  ),
  setting('--blob-gib <GiB>', 'room for them (50 when absent)').argParser(positiveInteger),
  setting('--tls-cert <file>', 'certificate (PEM) for HTTPS'),
  setting('--tls-key <file>', 'private key (PEM) for HTTPS'),
  setting('--insecure-http', 'allow plain HTTP beyond loopback'),
  setting(
    '--cancel-grace-seconds <seconds>',
    'time a cancelled operation has to end by itself (60 when absent)',
  ).argParser(seconds),
  setting(
    '--lease-seconds <seconds>',
    'time after which a run is taken from a runner that gives no sign of life (30 when absent)',
  ).argParser(positiveInteger),
  setting(
    '--keep-runs-days <days>',
    'days after which finished runs go with their logs, and the events of updates; 0: they stay for ever',
  )
    .argParser(wholeNumber)
    .default(0),
];
export const sandboxOptions = () => [
  setting(
    '--isolation <kind>',
    'where runs execute: a virtual machine, a container on gVisor (a kernel in user space), or one on the host kernel',
  )
    .choices(['vm', 'gvisor', 'container'])
    .default('vm'),
  setting('--runners <count>', 'how many runs execute at the same time')
    .argParser(positiveInteger)
    .default(1),
  setting('--cpus <count>', 'virtual CPUs of a sandbox (2, or what the host has)').argParser(positiveInteger),
  setting('--memory-mib <MiB>', 'memory of a sandbox (8192, or what the host has)').argParser(
    positiveInteger,
  ),
  setting('--volume-gib <GiB>', 'volume of a sandbox (32, or what the host has)').argParser(positiveInteger),
  setting(
    '--reserve-memory-mib <MiB>',
    'memory that sandboxes leave to the host (512 when absent)',
  ).argParser(wholeNumber),
  setting('--reserve-disk-gib <GiB>', 'disk that sandboxes leave to the host (2 when absent)').argParser(
    wholeNumber,
  ),
  ...['cpus', 'memory', 'disk'].map((part) =>
    setting(`--overcommit-${part} <factor>`, `promise sandboxes so many times the ${part} that there is`)
      .argParser(factor)
      .default(1),
  ),
  setting(
    '--default-image <reference>',
    'executor image of runs that name none; auto: pulumi/pulumi when its registry answers, else the one built here',
  ).default('auto'),
  setting(
    '--warm <count>',
    'sandboxes that are started before there is a run for them, ready for the next ones of the usual size; their memory counts',
  )
    .argParser(wholeNumber)
    .default(0),
  setting(
    '--warm-image <references>',
    'executor images for which --warm keeps as many each (comma-separated; the default image when absent)',
  )
    .argParser(list)
    .default([]),
  setting(
    '--dependency-cache-gib <GiB>',
    'room for cached dependencies of projects, least recently read go first; 0 keeps none (20 when absent)',
  ).argParser(wholeNumber),
  setting(
    '--registry-identity <which>',
    'host: log in to ECR, Artifact Registry and ACR as the cloud knows this host, where nothing else logs in; none: never',
  )
    .choices(['host', 'none'])
    .default('host'),
  setting(
    '--image-cache-gib <GiB>',
    'room for executor images and their layers, least recently used go first (50 when absent)',
  ).argParser(positiveInteger),
  setting(
    '--drain-seconds <seconds>',
    'time that runs have to end after SIGTERM before they are cancelled (60 when absent)',
  ).argParser(seconds),
  setting('--ca-file <file>', 'extra certificate authorities (PEM) for everything inside a run'),
  setting('--allow-private-networks <CIDRs>', 'private networks that runs may reach (comma-separated)')
    .argParser(list)
    .default([]),
  setting(
    '--allow-private-registries <hosts>',
    'registries on this host or at private addresses that executor images may come from (comma-separated host:port)',
  )
    .argParser(list)
    .default([]),
];
/** What the commands that ask a control plane have in common. */
export const apiOptions = () => [
  new Option('--url <url>', 'URL of the control plane')
    .env('PULUMI_BACKEND_URL')
    .default('http://localhost:8900'),
  dataDirectoryOption(),
  jsonOption(),
];
export const sandboxTargetOptions = () => [
  new Option('--stack <organization/project/stack>', 'what this stack asks for'),
  new Option('--pool <organization/pool>', 'what this pool gives to its runs'),
  ...apiOptions(),
];
export const sandboxChangeOptions = () => [
  ...sandboxTargetOptions(),
  new Option('--maximum', 'change the most that stacks may ask the pool for, not its defaults'),
  new Option('--reset', 'forget all settings that are not named'),
  new Option('--cpus <count>', 'virtual CPUs').argParser(positiveInteger),
  new Option('--memory-mib <MiB>', 'memory').argParser(positiveInteger),
  new Option('--volume-gib <GiB>', 'volume').argParser(positiveInteger),
  new Option('--egress <mode>', 'what a run may reach: everything public, listed hosts, or nothing').choices([
    'open',
    'allow',
    'none',
  ]),
  new Option('--allow-hosts <hosts>', 'names, *.names, addresses and networks (comma-separated)').argParser(
    list,
  ),
  new Option('--run-seconds <seconds>', 'longest time of a run').argParser(positiveInteger),
  new Option('--step-seconds <seconds>', 'longest time of each step').argParser(positiveInteger),
  new Option('--silence-seconds <seconds>', 'longest time without a line in the log').argParser(
    positiveInteger,
  ),
  new Option('--log-mib <MiB>', 'longest log of a run').argParser(positiveInteger),
];
export const runListOptions = () => [
  new Option('--stack <organization/project/stack>', 'runs of this stack (those of all stacks when absent)'),
  new Option('--limit <count>', 'at most so many').argParser(listLength).default(20),
  ...apiOptions(),
];
export const runnerOptions = () => [
  setting('--server <url>', 'URL of the control plane'),
  setting('--pool-token <token>', 'token of the pool to work for'),
  dataDirectoryOption(),
  setting('--tls-ca <file>', 'certificate authority (PEM) of the control plane'),
  setting('--insecure-http', 'allow plain HTTP to a control plane beyond loopback'),
  ...sandboxOptions(),
];

import * as z from 'zod';
import { operation } from './run.ts';

/**
 * Deployment settings of a stack, in the shape of Pulumi's REST API (`DeploymentSettings`). Requests, stored settings
 * and opened settings have the same shape; they differ in what stands at the place of a possibly secret value. Members
 * that are not named here are ignored. Every member may be `null`: in a merge patch that removes it.
 */

/** A possibly secret value as a client may send it. */
export type SecretInput =
  | { readonly kind: 'plain'; readonly value: string }
  | { readonly kind: 'secret'; readonly value: string }
  /** Base64 of what this server answered before, for the same stack. */
  | { readonly kind: 'ciphertext'; readonly ciphertext: string };

const maximumValueCharacters = 64 * 1024;
const text = z.string().max(maximumValueCharacters);
const withoutNul = (value: string) => !value.includes('\0');
const valueText = text.refine(withoutNul, 'a value must not contain the character U+0000');
const shortText = z.string().max(2048).refine(withoutNul, 'it must not contain the character U+0000');

/**
 * `"text"`, `{"secret": "text"}`, `{"ciphertext": "<base64>"}`, `{}` (an empty secret) and the explicit form
 * `{"isSecret": true, "value": "text"}` (Pulumi CLI apitype.SecretValue).
 */
export const secretInput = z.union([
  valueText.transform((value): SecretInput => ({ kind: 'plain', value })),
  z
    .object({
      ciphertext: z
        .base64()
        .max(2 * maximumValueCharacters)
        .optional(),
      secret: valueText.optional(),
      isSecret: z.boolean().optional(),
      value: valueText.optional(),
    })
    .transform(({ ciphertext, secret, isSecret, value }): SecretInput => {
      if (ciphertext) return { kind: 'ciphertext', ciphertext };
      if (isSecret === false) return { kind: 'plain', value: value ?? '' };
      return { kind: 'secret', value: secret ?? value ?? '' };
    }),
]);

/** A value as it is stored and answered: plain, or sealed for its stack (base64). */
export const storedValue = z.union([z.string(), z.object({ ciphertext: z.string() })]);
export type StoredValue = z.infer<typeof storedValue>;

const flag = z.boolean().nullish();
const list = (maximumItems: number) => z.array(text.refine(withoutNul)).max(maximumItems).nullish();

/** Each pre-run command is a step of its own, and a run has at most 100. */
const maximumPreRunCommands = 80;
const maximumEnvironmentVariables = 500;

const environmentName = z
  .string()
  .max(256)
  .regex(/^[^=\0]+$/, 'the name of an environment variable must not be empty, nor contain "=" or U+0000');

/** The ways to log in to a git host, of which one counts: `mergeSettings` keeps one. */
function gitAuthShape<Leaf extends z.ZodType>(leaf: Leaf) {
  return z.object({
    sshAuth: z.object({ sshPrivateKey: leaf, password: leaf.nullish() }).nullish(),
    accessToken: leaf.nullish(),
    basicAuth: z.object({ userName: leaf, password: leaf }).nullish(),
  });
}

/** Git settings with `repoUrl` in whatever case it came: Go clients and documents write both `repoUrl` and `repoURL`. */
function foldRepositoryUrl(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [
      name.toLowerCase() === 'repourl' ? 'repoUrl' : name,
      member,
    ]),
  );
}

/** A bare string is an image without credentials: those of another image must not be kept for it. */
function expandImage(value: unknown): unknown {
  if (value === '') return null;
  return typeof value === 'string' ? { reference: value, credentials: null } : value;
}

const github = z.object({
  repository: shortText.nullish(),
  deployCommits: flag,
  deployPullRequest: z.number().int().nullish(),
  deployTags: flag,
  installationId: shortText.nullish(),
  paths: list(1000),
  previewPullRequests: flag,
  pullRequestTemplate: flag,
  reviewStackLabels: list(100),
  tagFilters: list(100),
});

const role = z.object({
  id: shortText.nullish(),
  name: shortText.nullish(),
  defaultIdentifier: shortText.nullish(),
});

const oidc = z.object({
  aws: z
    .object({
      duration: shortText.nullish(),
      policyArns: list(100),
      roleArn: shortText.nullish(),
      sessionName: shortText.nullish(),
    })
    .nullish(),
  azure: z
    .object({
      clientId: shortText.nullish(),
      subscriptionId: shortText.nullish(),
      tenantId: shortText.nullish(),
    })
    .nullish(),
  gcp: z
    .object({
      projectId: shortText.nullish(),
      providerId: shortText.nullish(),
      region: shortText.nullish(),
      serviceAccount: shortText.nullish(),
      tokenLifetime: shortText.nullish(),
      workloadPoolId: shortText.nullish(),
    })
    .nullish(),
});

const options = z.object({
  deleteAfterDestroy: flag,
  remediateIfDriftDetected: flag,
  shell: shortText.nullish(),
  skipInstallDependencies: flag,
  skipIntermediateDeployments: flag,
});

/** The shape of settings with `leaf` at the place of each possibly secret value. */
export function settingsShape<Leaf extends z.ZodType>(leaf: Leaf) {
  const gitAuth = gitAuthShape(leaf).nullish();
  const image = z.object({
    reference: shortText.min(1),
    credentials: z.object({ username: shortText, password: leaf }).nullish(),
  });
  return z.object({
    tag: shortText.nullish(),
    agentPoolID: shortText.nullish(),
    cacheOptions: z.object({ enable: flag }).nullish(),
    executorContext: z
      .object({
        executorImage: z.preprocess(expandImage, image.nullish()).optional(),
        executorRootPath: shortText.nullish(),
      })
      .nullish(),
    sourceContext: z
      .object({
        template: z.object({ sourceUrl: shortText.nullish(), gitAuth }).nullish(),
        git: z
          .preprocess(
            foldRepositoryUrl,
            z
              .object({
                repoUrl: shortText.nullish(),
                branch: shortText.nullish(),
                tag: shortText.nullish(),
                commit: shortText.nullish(),
                repoDir: shortText.nullish(),
                gitAuth,
              })
              .nullish(),
          )
          .optional(),
      })
      .nullish(),
    gitHub: github.nullish(),
    vcs: github.extend({ provider: shortText }).nullish(),
    operationContext: z
      .object({
        environmentVariables: z
          .record(environmentName, leaf.nullable())
          .refine(
            (variables) => Object.keys(variables).length <= maximumEnvironmentVariables,
            `at most ${maximumEnvironmentVariables} environment variables`,
          )
          .nullish(),
        oidc: oidc.nullish(),
        options: options.nullish(),
        preRunCommands: list(maximumPreRunCommands),
        role: role.nullish(),
      })
      .nullish(),
  });
}

/** Settings as they are stored: no `null` in them, secrets as ciphertext. */
export const storedSettings = settingsShape(storedValue);
export type StoredSettings = z.infer<typeof storedSettings>;

/** What `POST …/deployments` carries beside settings. */
export const deploymentRequest = z.object({
  operation,
  inheritSettings: z.boolean().nullish(),
  /** The CLI always sends it, empty. The operation belongs at the top. */
  operationContext: z.object({ operation: z.string().nullish() }).nullish(),
});

/**
 * Stored settings with every secret opened by `open`, and the secrets by themselves. They exist in memory only, while a
 * job is made or a log is masked.
 */
export function openedSettings(stored: unknown, open: (sealed: { ciphertext: string }) => string) {
  const secretValues: string[] = [];
  const opened = storedValue.transform((value) => {
    if (typeof value === 'string') return value;
    const text = open(value);
    secretValues.push(text);
    return text;
  });
  return { settings: settingsShape(opened).parse(stored), secretValues };
}

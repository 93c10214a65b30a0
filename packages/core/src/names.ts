import * as z from 'zod';

/**
 * Names of organizations, projects and stacks, as the `pulumi` CLI allows them
 * (Pulumi CLI pkg/backend/httpstate: organization `[a-zA-Z0-9][a-zA-Z0-9-_]{1,38}[a-zA-Z0-9]`;
 * projects and stacks: letters, digits, `-`, `_`, `.`, at most 100).
 */
export const organizationName = z
  .string()
  .regex(
    /^[a-zA-Z0-9][a-zA-Z0-9_-]{1,38}[a-zA-Z0-9]$/,
    'an organization name has 3 to 40 letters, digits, "-" or "_", and starts and ends with a letter or digit',
  );
export const projectName = z
  .string()
  .regex(/^[a-zA-Z0-9_.-]{1,100}$/, 'a project name has 1 to 100 letters, digits, "-", "_" or "."');
export const stackName = z
  .string()
  .regex(/^[a-zA-Z0-9_.-]{1,100}$/, 'a stack name has 1 to 100 letters, digits, "-", "_" or "."');

/** The full name of a stack: `organization/project/stack`. */
export const stackIdentity = z.object({
  organization: organizationName,
  project: projectName,
  stack: stackName,
});
export type StackIdentity = z.infer<typeof stackIdentity>;

/** `organization/project/stack`, as the CLI prints it. */
export function formatStackIdentity({ organization, project, stack }: StackIdentity): string {
  return `${organization}/${project}/${stack}`;
}

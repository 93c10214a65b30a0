import { pulumiStep } from './pulumi-step.ts';

/** Removes the stack, once a destroy has left nothing in it. */
export const removeStack = pulumiStep('pulumi stack rm', ['stack', 'rm', '--yes']);

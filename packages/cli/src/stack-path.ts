/** `organization/project/stack` as a part of a URL. Throws when it is written otherwise. */
export function stackPath(stack: string): string {
  const parts = stack.split('/');
  if (parts.length !== 3 || parts.includes(''))
    throw new Error(`"${stack}" is not a stack; write it as organization/project/stack.`);
  return parts.map(encodeURIComponent).join('/');
}

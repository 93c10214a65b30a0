import type { DestructionProof } from './isolation.ts';

/**
 * The `destroy` of a sandbox, of whatever isolation, out of what only its driver knows: how to end it. `destroyAndProve`
 * settles when every process was waited for and nothing is left, and rejects when that cannot be told.
 *
 * It is done once, however often it is asked for, and again only where it failed: whoever asks then makes another attempt.
 */
export function destruction(destroyAndProve: () => Promise<void>): () => Promise<DestructionProof> {
  let proof: Promise<DestructionProof> | undefined;
  const prove = async (): Promise<DestructionProof> => {
    const begin = performance.now();
    await destroyAndProve();
    return { processesReaped: true, nothingLeft: true, milliseconds: performance.now() - begin };
  };
  return () => {
    proof ??= prove().catch((error: unknown) => {
      proof = undefined;
      throw error;
    });
    return proof;
  };
}

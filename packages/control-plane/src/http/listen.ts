import type { FastifyInstance } from 'fastify';

const remedies: Record<string, string> = {
  EADDRINUSE:
    'another program (another Slipway?) listens there; stop it, or choose another port with --listen',
  EADDRNOTAVAIL: 'this host has no such address; choose one that it has with --listen',
  ENOTFOUND: 'there is no such host; choose an address of this one with --listen',
  EACCES: 'this user may not; choose a port from 1024 on with --listen',
};

/** Opens the app for calls. Throws with a remedy when the address cannot be had. */
export async function listen(app: FastifyInstance, host: string, port: number): Promise<void> {
  try {
    await app.listen({ host, port });
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    const remedy = remedies[code];
    if (remedy === undefined) throw error;
    throw new Error(`Port ${port} of ${host} cannot be listened on: ${remedy}.`, { cause: error });
  }
}

import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startServer } from '@slipway/control-plane';
import { expect, test } from 'vitest';
import { organization, startTestServer, TestRunner } from './deployments-server.ts';
import { server, useServer } from './use-server.ts';

/** Another control plane on the database of the first, with a data directory of its own. */
useServer();

test('a second one with the same master key has the same token of the default pool, and the first keeps its runners', async () => {
  const runner = await TestRunner.register(server);
  const masterKey = server.server.controlPlane.masterKey.toString('base64');
  const other = await startTestServer({ databaseUrl: server.databaseUrl, masterKey });
  try {
    expect(other.server.poolToken).toBe(server.server.poolToken);
    expect(await readFile(join(other.dataDirectory, 'pool-token'), 'utf8')).toBe(
      `${server.server.poolToken}\n`,
    );
    // Who has the token already, and who joins now, at either of them.
    expect(await runner.claim()).toBeUndefined();
    await TestRunner.register(other);
  } finally {
    await other.stop();
  }
});

test('one with another master key is refused with a sentence, and changes nothing', async () => {
  const dataDirectory = await mkdtemp(join(tmpdir(), 'slipway-other-key-'));
  const masterKey = randomBytes(32).toString('base64');
  const { databaseUrl } = server;
  const options = { dataDirectory, host: '127.0.0.1', port: 0, organization, databaseUrl };
  await expect(startServer({ ...options, masterKey })).rejects.toThrow(
    /made with another master key.*SLIPWAY_MASTER_KEY/,
  );
  await TestRunner.register(server);
  await rm(dataDirectory, { recursive: true });
});

import { randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { defaultLeaseSeconds, leaseTimingOf } from '@slipway/core';
import { openBlobStorage } from './blobs/index.ts';
import type { ControlPlane, Log } from './control-plane.ts';
import { checkDatabase, openDatabase } from './database/database.ts';
import { type DatabaseServer, databaseServerAt } from './database/database-server.ts';
import { startEmbeddedPostgres } from './database/embedded-postgres.ts';
import { migrate } from './database/migrate.ts';
import { dependencyCacheRoutes } from './dependency-caches/index.ts';
import { deploymentRoutes, deploymentRuns } from './deployments/index.ts';
import { driftRoutes } from './drift/index.ts';
import { exampleRoutes } from './examples/index.ts';
import { createApp } from './http/app.ts';
import { CallsUnderWay } from './http/calls-under-way.ts';
import { listen } from './http/listen.ts';
import { ensureAdministrator, identityRoutes } from './identity/index.ts';
import { ensureDefaultPool, poolRoutes } from './pools/index.ts';
import { queueRoutes } from './queue/index.ts';
import { type RepeatedWork, startRepeatedWork } from './repeated-work.ts';
import { removeOld } from './retention.ts';
import { checkMasterKey, RunSecrets } from './secrets/index.ts';
import { endExpiredUpdates, stackRoutes } from './stacks/index.ts';

/** Time that a cancelled operation has to end by itself, where nobody says otherwise. */
export const usualCancelGraceSeconds = 60;

export interface ServerOptions {
  /** Keeps the embedded database, the master key and the administrator's token. */
  readonly dataDirectory: string;
  readonly host: string;
  /** 0 picks a free port. */
  readonly port: number;
  /** A PostgreSQL server of one's own; without it an embedded one is started. */
  readonly databaseUrl?: string | undefined;
  /** Base64 of 32 bytes; without it, a key file in the data directory is used (made at the first start). */
  readonly masterKey?: string | undefined;
  /** As users reach the server, when that is not the listening address. */
  readonly publicUrl?: string | undefined;
  readonly organization: string;
  /** A bare git repository to serve read-only at `/examples.git`. */
  readonly exampleRepository?: string | undefined;
  readonly tls?: { readonly certificate: string; readonly key: string } | undefined;
  /** Longest lease of a Pulumi update: 300 s, unless a test wants to see one end. */
  readonly updateLeaseSeconds?: number | undefined;
  /** From so many resources on, a CLI keeps a journal also where it is near the server: 200, or 0 for journals always. */
  readonly journalFromResourceCount?: number | undefined;
  /** Time that a cancelled operation gets to end by itself; 60 s when absent. */
  readonly cancelGraceSeconds?: number | undefined;
  /** For how long a runner may hold a run without a sign of life (`leaseTimingOf`); 30 s when absent. */
  readonly leaseSeconds?: number | undefined;
  /** Finished runs are removed after so many days; 0, or absent: never. */
  readonly keepRunsDays?: number | undefined;
  /** Where large things are kept that runners share: `s3://…`; a folder of the data directory when absent. */
  readonly blobStorage?: string | undefined;
  /** Room for them; 50 GiB when absent. */
  readonly blobGiB?: number | undefined;
  readonly logger?: boolean | { readonly level: string };
}

export interface Server {
  readonly url: string;
  /** The administrator's access token; also in `<data directory>/admin-token`. */
  readonly adminToken: string;
  /** The token with which runners join the default pool; also in `<data directory>/pool-token`. */
  readonly poolToken: string;
  readonly controlPlane: ControlPlane;
  close(): Promise<void>;
}

const defaultBlobGiB = 50;
/** How often updates whose lease has ended are looked for; a call that touches their stack ends them at once. */
const expiryMilliseconds = 10_000;
const retentionMilliseconds = 60 * 60 * 1000;
/** How long open calls may take to end when the server stops. */
const closeMilliseconds = 3_000;

/**
 * Starts the control plane: database, migrations, HTTP. Answers when it is ready for calls; nothing of it runs on when
 * that fails. Throws a `RangeError` when leases of the wanted length would not be safe.
 */
export async function startServer(options: ServerOptions): Promise<Server> {
  const leaseTiming = leaseTimingOf(options.leaseSeconds ?? defaultLeaseSeconds);
  await using opened = new AsyncDisposableStack();
  await mkdir(options.dataDirectory, { recursive: true, mode: 0o700 });
  const masterKey = await readMasterKey(options);
  const app = createApp({ logger: options.logger ?? false, tls: options.tls });
  const database = await openDatabaseServer(options, app.log, opened);
  await migrate(database.location);
  const db = openDatabase(database);
  opened.defer(() => db.destroy());
  await checkMasterKey(db, masterKey);
  const adminToken = await keepToken(options, 'admin-token', (known) =>
    ensureAdministrator(db, options.organization, known),
  );
  const poolToken = await keepToken(options, 'pool-token', (known) =>
    ensureDefaultPool({ db, masterKey }, options.organization, known),
  );

  const urls = { publicUrl: options.publicUrl ?? '', others: [] as string[] };
  const controlPlane: ControlPlane = {
    db,
    database,
    masterKey,
    runSecrets: new RunSecrets(masterKey),
    urls,
    leaseTiming,
    now: () => new Date(),
    log: app.log,
    callsUnderWay: new CallsUnderWay(),
  };
  identityRoutes(app, controlPlane);
  const deployments = deploymentRuns(controlPlane, {
    cancelGraceSeconds: options.cancelGraceSeconds ?? usualCancelGraceSeconds,
  });
  stackRoutes(app, controlPlane, {
    leaseSeconds: options.updateLeaseSeconds ?? 300,
    journalFromResourceCount: options.journalFromResourceCount ?? 200,
  });
  deploymentRoutes(app, controlPlane);
  driftRoutes(app, controlPlane);
  poolRoutes(app, controlPlane);
  const workflows = { deployment: deployments };
  queueRoutes(app, controlPlane, workflows);
  dependencyCacheRoutes(app, controlPlane, workflows, {
    storage: await openBlobStorage(options.blobStorage, options.dataDirectory),
    maximumBytes: (options.blobGiB ?? defaultBlobGiB) * 1024 ** 3,
  });
  if (options.exampleRepository) exampleRoutes(app, options.exampleRepository);

  opened.defer(() => controlPlane.callsUnderWay.ended());
  opened.defer(async () => {
    // A client that keeps its connection open must not keep the server from stopping.
    const patience = setTimeout(() => app.server.closeAllConnections(), closeMilliseconds);
    await app.close();
    clearTimeout(patience);
  });
  await listen(app, options.host, options.port);
  for (const work of repeatedWork(controlPlane, options)) {
    opened.use(startRepeatedWork(work, app.log));
  }
  const { port } = app.server.address() as AddressInfo;
  const scheme = options.tls ? 'https' : 'http';
  const url = `${scheme}://${options.host === '127.0.0.1' ? 'localhost' : options.host}:${port}`;
  urls.publicUrl ||= url;
  urls.others.push(url, `${scheme}://127.0.0.1:${port}`, 'http://slipway.internal');
  const running = opened.move();
  return { url, adminToken, poolToken, controlPlane, close: () => running.disposeAsync() };
}

/** What the control plane does by itself, whether or not anybody calls. */
function repeatedWork(controlPlane: ControlPlane, { keepRunsDays = 0 }: ServerOptions): RepeatedWork[] {
  return [
    {
      everyMilliseconds: expiryMilliseconds,
      failure: 'Expired updates could not be ended',
      work: () => endExpiredUpdates(controlPlane.db, controlPlane.now()),
    },
    {
      everyMilliseconds: retentionMilliseconds,
      failure: 'Old runs could not be removed',
      work: (signal) => removeOld(controlPlane, keepRunsDays, signal),
    },
  ];
}

/** The user's own PostgreSQL, or an embedded one, which then stops with what is `opened`. */
async function openDatabaseServer(
  options: ServerOptions,
  log: Log,
  opened: AsyncDisposableStack,
): Promise<DatabaseServer> {
  if (options.databaseUrl) {
    await checkDatabase(options.databaseUrl);
    return databaseServerAt(options.databaseUrl);
  }
  const embedded = await startEmbeddedPostgres(options.dataDirectory, log);
  opened.defer(() => embedded.stop());
  return embedded;
}

async function readMasterKey(options: ServerOptions): Promise<Buffer> {
  const path = join(options.dataDirectory, 'master-key');
  const text = options.masterKey ?? (await readFile(path, 'utf8').catch(() => undefined));
  if (text === undefined) {
    const key = randomBytes(32);
    await writeFile(path, `${key.toString('base64')}\n`, { mode: 0o600, flag: 'wx' });
    return key;
  }
  const key = Buffer.from(text.trim(), 'base64');
  if (key.length !== 32)
    throw new Error(`The master key must be base64 of 32 bytes; ${path} or SLIPWAY_MASTER_KEY is not.`);
  return key;
}

/** A token of the first start: kept in a file that only its owner may read. */
async function keepToken(
  options: ServerOptions,
  fileName: 'admin-token' | 'pool-token',
  ensure: (known: string | undefined) => Promise<string>,
) {
  const path = join(options.dataDirectory, fileName);
  const known = (await readFile(path, 'utf8').catch(() => undefined))?.trim();
  const token = await ensure(known);
  if (token !== known) await writeFile(path, `${token}\n`, { mode: 0o600 });
  return token;
}

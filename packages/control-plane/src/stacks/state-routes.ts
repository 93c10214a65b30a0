import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { allUrls, type ControlPlane } from '../control-plane.ts';
import { conflict } from '../http/errors.ts';
import { route } from '../http/route.ts';
import { userOrJobToken } from '../identity/index.ts';
import { readCheckpoint } from './checkpoint.ts';
import { refuseForeignSecrets } from './foreign-secrets.ts';
import { readRunningState } from './running-state.ts';
import { openStack, stackParams, stackPath } from './stack.ts';
import { joinState, splitState, urlOfReader } from './state-document.ts';
import { stateSeal } from './state-seal.ts';
import { importState } from './update.ts';

/** The state of a stack as a whole: export and import. */
export function stateRoutes(app: FastifyInstance, controlPlane: ControlPlane): void {
  const { db, masterKey, urls } = controlPlane;
  const latest = Number.MAX_SAFE_INTEGER;

  const exportAt = (path: string, params: z.ZodType<z.infer<typeof stackParams> & { version?: number }>) =>
    route(app, controlPlane, { method: 'GET', path, access: userOrJobToken, params }, async (call) => {
      const stack = await openStack(controlPlane, call.principal, call.params);
      const version = Math.min(call.params.version ?? latest, 2 ** 31 - 1);
      // The running update first: when it ends meanwhile, what it wrote has become the checkpoint.
      const running = await readRunningState(db, stack.id, version, controlPlane.now());
      const state = running ?? (await readCheckpoint(db, stack.id, version));
      call.reply.type('application/json');
      return joinState(state, urlOfReader(call.request.headers.host, urls));
    });
  exportAt(`${stackPath}/export`, stackParams);
  exportAt(`${stackPath}/export/:version`, stackParams.extend({ version: z.coerce.number().int().min(0) }));

  route(
    app,
    controlPlane,
    {
      method: 'POST',
      path: `${stackPath}/import`,
      access: userOrJobToken,
      params: stackParams,
      needsRoom: true,
    },
    async ({ principal, params, bodyText }) => {
      const stack = await openStack(controlPlane, principal, params);
      const state = splitState(bodyText, allUrls(urls));
      await refuseForeignSecrets(bodyText, stateSeal(masterKey, stack.id));
      const updateId = await importState(controlPlane, stack.id, principal, state);
      if (!updateId) throw conflict('Conflict: Another update is currently in progress.');
      return { updateId };
    },
  );
}

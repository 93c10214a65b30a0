import { projectName, stackName } from '@slipway/core';
import type { FastifyInstance } from 'fastify';
import { sql } from 'kysely';
import { z } from 'zod';
import { allUrls, type ControlPlane } from '../control-plane.ts';
import { badRequest, conflict, notFound } from '../http/errors.ts';
import { route } from '../http/route.ts';
import { userOrJobToken, userToken } from '../identity/index.ts';
import { countResources, writeCheckpoint } from './checkpoint.ts';
import { refuseForeignSecrets } from './foreign-secrets.ts';
import { listStacks } from './list-stacks.ts';
import { findValue } from './raw-json.ts';
import { renameStack } from './rename.ts';
import { ensureProject, isDuplicate, openStack, stackParams, stackPath, stackTags } from './stack.ts';
import { splitState } from './state-document.ts';
import { stateSeal } from './state-seal.ts';
import { endExpiredUpdates, lastUpdate } from './update.ts';

const projectPath = '/api/stacks/:organization/:project';
const projectParams = stackParams.omit({ stack: true });

/** Stacks themselves: make, list, look at, tag, rename, remove. */
export function stackLifecycleRoutes(app: FastifyInstance, controlPlane: ControlPlane): void {
  const { db } = controlPlane;

  const listQuery = z.object({
    organization: z.string().optional(),
    project: z.string().optional(),
    tagName: z.string().optional(),
    tagValue: z.string().optional(),
    continuationToken: z.string().optional(),
    maxResults: z.coerce.number().int().min(1).max(1000).optional(),
  });
  route(
    app,
    controlPlane,
    { method: 'GET', path: '/api/user/stacks', access: userOrJobToken, query: listQuery },
    ({ principal, query }) => listStacks(db, principal, query),
  );

  route(
    app,
    controlPlane,
    { method: 'HEAD', path: projectPath, access: userToken, params: projectParams },
    async ({ principal, params }) => {
      const { rows } = await sql`
        SELECT 1 FROM stacks s JOIN projects p ON p.id = s.project_id JOIN organizations o ON o.id = p.organization_id
        WHERE o.name = ${params.organization} AND p.name = ${params.project}
          AND o.name = ANY (${principal.organizations}) LIMIT 1`.execute(db);
      if (rows.length === 0) throw notFound(`Not Found: Project '${params.project}'`);
      return {};
    },
  );

  const createBody = z.looseObject({ stackName, tags: stackTags.nullish() });
  route(
    app,
    controlPlane,
    {
      method: 'POST',
      path: projectPath,
      access: userToken,
      params: projectParams,
      body: createBody,
      needsRoom: true,
    },
    async ({ principal, params: { organization, project }, body, bodyText }) => {
      if (!principal.organizations.includes(organization))
        throw notFound(`Not Found: Organization '${organization}'`);
      const state = findValue(bodyText, ['state']);
      const stateText = state && bodyText.slice(state.start, state.end);
      try {
        await db.transaction().execute(async (tx) => {
          const projectId = await ensureProject(tx, organization, project);
          if (!projectId) throw notFound(`Not Found: Organization '${organization}'`);
          const { id } = await tx
            .insertInto('stacks')
            .values({ project_id: projectId, name: body.stackName, tags: JSON.stringify(body.tags ?? {}) })
            .returning('id')
            .executeTakeFirstOrThrow();
          if (stateText && stateText !== 'null') {
            const state = splitState(stateText, allUrls(controlPlane.urls));
            await refuseForeignSecrets(stateText, stateSeal(controlPlane.masterKey, id));
            await writeCheckpoint(tx, id, 0, state);
          }
        });
      } catch (error) {
        if (!isDuplicate(error)) throw error;
        throw conflict(`Conflict: stack '${organization}/${project}/${body.stackName}' already exists`);
      }
      return { messages: [] };
    },
  );

  route(
    app,
    controlPlane,
    { method: 'GET', path: stackPath, access: userOrJobToken, params: stackParams },
    async ({ principal, params }) => {
      const stack = await openStack(controlPlane, principal, params);
      await endExpiredUpdates(db, controlPlane.now(), stack.id);
      const update = await lastUpdate(db, stack.id);
      return {
        id: stack.id,
        orgName: stack.organization,
        projectName: stack.project,
        stackName: stack.stack,
        activeUpdate: update?.id ?? '',
        tags: stack.tags,
        version: stack.version,
        ...(update?.state === 'running' && {
          currentOperation: {
            kind: update.kind,
            author: update.author ?? 'slipway-run',
            started: Math.floor((update.started_at ?? update.created_at).getTime() / 1000),
          },
        }),
      };
    },
  );

  route(
    app,
    controlPlane,
    { method: 'DELETE', path: stackPath, access: userOrJobToken, params: stackParams, query: forceQuery },
    async ({ principal, params, query }) => {
      const stack = await openStack(controlPlane, principal, params);
      await endExpiredUpdates(db, controlPlane.now(), stack.id);
      if ((await lastUpdate(db, stack.id))?.state === 'running') {
        throw conflict(
          'Conflict: an update of this stack is in progress; wait for it, or `pulumi cancel` it.',
        );
      }
      if (
        query.force !== 'true' &&
        query.forceDestroy !== 'true' &&
        (await countResources(db, stack.id)) > 0
      ) {
        // The CLI compares this text (pkg/backend/httpstate/client: DeleteStack).
        throw badRequest('Bad Request: Stack still contains resources.');
      }
      await db.deleteFrom('stacks').where('id', '=', stack.id).execute();
    },
  );

  route(
    app,
    controlPlane,
    {
      method: 'PATCH',
      path: `${stackPath}/tags`,
      access: userOrJobToken,
      params: stackParams,
      body: stackTags,
    },
    async ({ principal, params, body }) => {
      const stack = await openStack(controlPlane, principal, params);
      await db
        .updateTable('stacks')
        .set({ tags: JSON.stringify(body) })
        .where('id', '=', stack.id)
        .execute();
    },
  );

  const renameBody = z.object({ newName: z.string().default(''), newProject: z.string().default('') });
  route(
    app,
    controlPlane,
    { method: 'POST', path: `${stackPath}/rename`, access: userToken, params: stackParams, body: renameBody },
    async ({ principal, params, body }) => {
      const stack = await openStack(controlPlane, principal, params);
      // An empty name means that it stays.
      const name = stackName.safeParse(body.newName || stack.stack);
      const project = projectName.safeParse(body.newProject || stack.project);
      if (!name.success || !project.success)
        throw badRequest(`Bad Request: '${body.newProject}/${body.newName}' is no name of a stack.`);
      await endExpiredUpdates(db, controlPlane.now(), stack.id);
      await renameStack(controlPlane, stack, { project: project.data, stack: name.data });
      return {};
    },
  );
}

const forceQuery = z.object({ force: z.string().optional(), forceDestroy: z.string().optional() });

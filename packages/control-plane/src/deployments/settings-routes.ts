import { formatStackIdentity, secretInput, stackIdentity } from '@slipway/core';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import * as z from 'zod';
import type { ControlPlane } from '../control-plane.ts';
import { badRequest, notFound } from '../http/errors.ts';
import { route } from '../http/route.ts';
import { userToken } from '../identity/index.ts';
import { openStack } from '../stacks/index.ts';
import { DeploymentSecrets } from './sealing.ts';
import { changeSettings, findSettings, removeSettings, type SettingsRevision } from './settings.ts';

const path = '/api/stacks/:organization/:project/:stack/deployments/settings';
const access = userToken;
const params = stackIdentity;
const body = z.record(z.string(), z.json());

/** Deployment settings of a stack. Secrets come in as text and go out as ciphertext. */
export function settingsRoutes(app: FastifyInstance, controlPlane: ControlPlane): void {
  route(app, controlPlane, { method: 'GET', path, access, params }, async (call) => {
    const stack = await openStack(controlPlane, call.principal, call.params);
    const revision = await findSettings(controlPlane.db, stack.id);
    if (!revision) {
      throw notFound(
        `Not Found: the stack ${formatStackIdentity(stack)} has no deployment settings. Set them with \`pulumi deployment settings edit\`.`,
      );
    }
    return answerOf(revision);
  });

  route(app, controlPlane, { method: 'POST', path, access, params, body }, async (call) => {
    const stack = await openStack(controlPlane, call.principal, call.params);
    return answerOf(await changeSettings(controlPlane, stack, 'merge', call.body, sourceOf(call.request)));
  });

  route(app, controlPlane, { method: 'PUT', path, access, params, body }, async (call) => {
    const stack = await openStack(controlPlane, call.principal, call.params);
    return answerOf(await changeSettings(controlPlane, stack, 'replace', call.body, sourceOf(call.request)));
  });

  route(app, controlPlane, { method: 'DELETE', path, access, params }, async (call) => {
    const stack = await openStack(controlPlane, call.principal, call.params);
    return removeSettings(controlPlane.db, stack.id);
  });

  route(
    app,
    controlPlane,
    { method: 'POST', path: `${path}/encrypt`, access, params, body: secretInput },
    async (call) => {
      const stack = await openStack(controlPlane, call.principal, call.params);
      const value = call.body.kind === 'ciphertext' ? '' : call.body.value;
      if (value === '') throw badRequest('Bad Request: there is no value to encrypt: send {"secret": "…"}.');
      return new DeploymentSecrets(controlPlane.masterKey, stack.id).store({ kind: 'secret', value });
    },
  );
}

function answerOf({ settings, source, version }: SettingsRevision) {
  return { ...settings, source, version };
}

/** Who writes: the Pulumi Cloud provider says so in each of its calls. */
function sourceOf(request: FastifyRequest): string {
  return request.headers['x-pulumi-source'] === 'provider' ? 'provider' : 'api';
}

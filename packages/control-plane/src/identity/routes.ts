import type { FastifyInstance } from 'fastify';
import type { ControlPlane } from '../control-plane.ts';
import { anybody } from '../http/access.ts';
import { route } from '../http/route.ts';
import { userOrJobToken } from './access.ts';
import { jobUser } from './job-user.ts';

/** Who am I: what `pulumi login` and `pulumi whoami` ask. */
export function identityRoutes(app: FastifyInstance, controlPlane: ControlPlane): void {
  route(
    app,
    controlPlane,
    { method: 'GET', path: '/api/user', access: userOrJobToken },
    async ({ principal }) => {
      const user = principal.kind === 'user' ? principal : await jobUser(controlPlane.db, principal);
      return {
        id: user.userId,
        githubLogin: user.login,
        name: user.displayName,
        email: user.email,
        avatarUrl: '',
        organizations: user.organizations.map((name) => ({ githubLogin: name, name, avatarUrl: '' })),
        identities: [],
        siteAdmin: false,
      };
    },
  );

  route(
    app,
    controlPlane,
    { method: 'GET', path: '/api/user/organizations/default', access: userOrJobToken },
    async ({ principal }) => {
      const user = principal.kind === 'user' ? principal : await jobUser(controlPlane.db, principal);
      // Capitals as the CLI decodes them: Go's default names (Pulumi CLI apitype.GetDefaultOrganizationResponse).
      return { GitHubLogin: user.organizations[0] ?? '', Messages: [] };
    },
  );

  // What this server can do beyond the base protocol (Pulumi CLI apitype/capabilities.go).
  route(app, controlPlane, { method: 'GET', path: '/api/capabilities', access: anybody }, async () => ({
    capabilities: [{ capability: 'batch-encrypt' }],
  }));
}

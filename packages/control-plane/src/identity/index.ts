export { userOrJobToken, userToken } from './access.ts';
export { ensureAdministrator } from './first-start.ts';
export { endJobTokens, issueJobToken } from './job-tokens.ts';
export type { JobPrincipal, Principal, UserPrincipal } from './principal.ts';
export { identityRoutes } from './routes.ts';
export { hashToken, newToken } from './token.ts';

export { ensureAdministrator } from './first-start.ts';
export { endJobTokens, issueJobToken } from './job-tokens.ts';
export { findPrincipal, type JobPrincipal, type Principal, type UserPrincipal } from './principal.ts';
export { identityRoutes } from './routes.ts';
export { hashToken, newToken } from './token.ts';

export { dependencyCacheRoutes } from './clear-route.ts';
export { grantCache } from './grant.ts';

export { driftRoutes } from './routes.ts';

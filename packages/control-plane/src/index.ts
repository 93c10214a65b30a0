export { exampleRepositoryPath } from './examples/index.ts';
export { type Server, type ServerOptions, startServer, usualCancelGraceSeconds } from './server.ts';

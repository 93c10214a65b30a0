export { AuthenticationFailed, openForStack, sealForStack } from './seal.ts';

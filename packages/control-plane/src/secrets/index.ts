export { forgetRunSecrets, RunSecrets } from './run-secrets.ts';
export { AuthenticationFailed, Seal } from './seal.ts';
export { secretTexts } from './secret-texts.ts';

export { checkMasterKey } from './master-key.ts';
export { forgetRunSecrets, RunSecrets, someRunSecretsWereCut } from './run-secrets.ts';
export { AuthenticationFailed, Seal } from './seal.ts';
export { secretTexts } from './secret-texts.ts';

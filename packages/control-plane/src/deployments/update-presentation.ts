import { type UpdateRecord, updateInfo } from '../stacks/index.ts';

/** An update of a deployment's run (`UpdateInfo` of Pulumi's REST API). `latestVersion` is the stack's newest. */
export function updateAnswer(update: UpdateRecord, latestVersion: number) {
  return {
    updateID: update.id,
    version: update.version,
    latestVersion,
    info: updateInfo(update),
    requestedBy: { name: update.requestedBy.name, githubLogin: update.requestedBy.login, avatarUrl: '' },
  };
}

/** The same in a list of deployments (`DeploymentNestedUpdate`). */
export function nestedUpdateAnswer(update: UpdateRecord) {
  const { id, version, kind, result, message, environment, startTime, endTime } = update;
  return { id, updateID: id, version, kind, result, message, environment, startTime, endTime };
}

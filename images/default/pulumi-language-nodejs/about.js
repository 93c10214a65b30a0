import { AboutResponse } from '@pulumi/pulumi/proto/language_pb.js';

/** For `pulumi about`. */
export function about() {
  return new AboutResponse().setExecutable(process.execPath).setVersion(process.versions.node);
}

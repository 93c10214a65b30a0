import { LanguageHandshakeResponse } from '@pulumi/pulumi/proto/language_pb.js';
import { PluginInfo } from '@pulumi/pulumi/proto/plugin_pb.js';
import { version } from '@pulumi/pulumi/version.js';

/** The engine tells its address here, or as this program's argument. */
export function handshake(engine, request) {
  engine.address = request.getEngineAddress() || engine.address;
  return new LanguageHandshakeResponse();
}

/** The version is that of the SDK whose protocol this host speaks. */
export function getPluginInfo() {
  return new PluginInfo().setVersion(version);
}

/** `runtime.options` of Pulumi.yaml, as a plain object. */
export function runtimeOptions(request) {
  return request.getInfo()?.getOptions()?.toJavaScript() ?? {};
}

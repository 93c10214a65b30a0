/**
 * The URL of the control plane, checked: without a trailing slash, and never plain HTTP to another host unless
 * `insecureHttp` says that this is meant (tokens and secrets travel on it). Throws an `Error` that says what to give.
 */
export function checkServerUrl(text: string, insecureHttp: boolean): URL {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new Error(`"${text}" is not a URL; give the control plane's, e.g. https://slipway.example.com.`);
  }
  if (url.protocol !== 'https:' && url.protocol !== 'http:')
    throw new Error(`The control plane's URL ${url.href} must start with https:// or http://.`);
  if (url.username !== '' || url.password !== '')
    throw new Error(
      "The control plane's URL must not hold a user name or password; the pool token is the credential.",
    );
  if (url.protocol === 'http:' && !insecureHttp && !isLoopback(url.hostname)) {
    throw new Error(
      `${url.href} is plain HTTP beyond this host: tokens and secrets would travel in clear. Use https://, or --insecure-http where that is meant.`,
    );
  }
  url.pathname = url.pathname.replace(/\/+$/, '');
  url.search = '';
  url.hash = '';
  return url;
}

function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127(\.\d{1,3}){3}$/.test(hostname);
}

/**
 * A file server: `index.html` or `index.json` stands for a folder. Tells each request on its standard output, one a
 * line. Arguments: address and port to listen at; folders, of which the first one that has a file counts.
 */
import { createReadStream, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';

const [address = '', port = '', ...folders] = process.argv.slice(2);
const types = new Map([
  ['.html', 'text/html'],
  ['.json', 'application/json'],
]);

function findFile(path: string): string | undefined {
  const candidates = folders.flatMap((folder) =>
    ['', 'index.html', 'index.json'].map((name) => join(folder, path, name)),
  );
  return candidates.find((file) => statSync(file, { throwIfNoEntry: false })?.isFile());
}

const server = createServer((request, response) => {
  const { pathname } = new URL(request.url ?? '/', 'http://host');
  console.log(`${request.method} ${pathname}`);
  const file = findFile(decodeURIComponent(pathname));
  if (file === undefined) return response.writeHead(404).end();
  const type = types.get(file.slice(file.lastIndexOf('.'))) ?? 'application/octet-stream';
  response.writeHead(200, { 'content-type': type, 'content-length': statSync(file).size });
  if (request.method === 'HEAD') return response.end();
  return createReadStream(file).pipe(response);
});
server.listen(Number(port), address, () => console.log('ready'));

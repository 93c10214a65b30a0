import { spawn } from 'node:child_process';
import { once } from 'node:events';

/**
 * A host and the network around it, in network namespaces, so that tests of what may be reached need no real one:
 *
 * - the host: 192.0.2.2, 198.51.100.2, 2001:db8:1::2 and 2001:db8:1::3, with a service on port 8000 of every address, loopback too;
 * - around it: 198.51.100.1 and 2001:db8:1::1 (public), 10.20.0.5 (a private git server, say), each with a service on
 *   port 8000, and a name server at 10.20.0.6 that knows `public.example`.
 *
 * Each service answers with the address that it was reached at. Arguments: 1 the host's name server, 2… the command to
 * run on that host. A name server on loopback is one that the host runs itself.
 */
const script = `
set -eu
nameserver=$1
shift
mount -t proc proc /proc
mount --make-rprivate /
answer='require("node:http").createServer((request, response) => response.end(request.socket.localAddress.replace("::ffff:", ""))).listen(8000, "::")'

unshare --net sleep 1000 &
around=$!
until [ "$(readlink /proc/$around/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.01; done
inside="nsenter --target $around --net"
ip link set lo up
ip link add outward type veth peer name toward netns $around
for address in 192.0.2.2/24 198.51.100.2/24; do ip address add $address dev outward; done
for address in 2001:db8:1::2/64 2001:db8:1::3/64; do ip address add $address dev outward nodad; done
ip link set outward up
$inside ip link set lo up
for address in 192.0.2.1/24 198.51.100.1/24 10.20.0.5/24 10.20.0.6/24; do $inside ip address add $address dev toward; done
$inside ip address add 2001:db8:1::1/64 dev toward nodad
$inside ip link set toward up
ip route add default via 192.0.2.1
ip route add default via 2001:db8:1::1

names="--no-daemon --no-resolv --no-hosts --conf-file=/dev/null --address=/public.example/198.51.100.1"
$inside dnsmasq $names --listen-address=10.20.0.6 --bind-interfaces 2> /dev/null &
case $nameserver in 127.*) dnsmasq $names --listen-address="$nameserver" --bind-interfaces 2> /dev/null & ;; esac
mount -t tmpfs tmpfs /mnt
echo "nameserver $nameserver" > /mnt/resolv.conf
mount --bind /mnt/resolv.conf /etc/resolv.conf
$inside "$NODE" -e "$answer" &
"$NODE" -e "$answer" &
for service in 127.0.0.1 192.0.2.1; do
  until busybox wget -q -O /dev/null http://$service:8000/ 2> /dev/null; do sleep 0.02; done
done
"$@"
`;

/**
 * Runs a TypeScript file with this Node on the small host, and answers what it printed, parsed as JSON. Needs root,
 * and the Debian packages iproute2, util-linux and dnsmasq-base.
 */
export async function onSmallInternet(
  file: string,
  { nameserver = '10.20.0.6', input }: { nameserver?: string; input: unknown },
): Promise<unknown> {
  const command = [process.execPath, file, JSON.stringify(input)];
  const namespaces = ['--net', '--mount', '--pid', '--fork', '--kill-child=SIGKILL'];
  const child = spawn(
    'unshare',
    [...namespaces, 'sh', '-c', script, 'small-internet', nameserver, ...command],
    {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, NODE: process.execPath },
      timeout: 60_000,
      killSignal: 'SIGKILL',
    },
  );
  let output = '';
  let errors = '';
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    errors += chunk.toString();
  });
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`${file} on the small host ended with status ${code}: ${errors}`);
  return JSON.parse(output);
}

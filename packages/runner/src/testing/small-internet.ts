import { spawn } from 'node:child_process';
import { once } from 'node:events';

/** A service on port 8000, TCP and UDP: it answers with the address that it was reached at, or with a redirect. */
const service = `
  const answer = (request, response) => {
    const to = new URL(request.url, "http://a").searchParams.get("redirect");
    if (to) response.writeHead(302, { location: to }).end();
    else response.end(request.socket.localAddress.replace("::ffff:", ""));
  };
  require("node:http").createServer(answer).listen(8000, "::");
  const socket = require("node:dgram").createSocket("udp6").bind(8000, "::");
  socket.on("message", (message, from) => socket.send("echo of " + message, from.port, from.address));
`;

/**
 * A host and the network around it, in network namespaces, so that tests of what may be reached need no real one:
 *
 * - the host: 192.0.2.2, 198.51.100.2, 2001:db8:1::2 and 2001:db8:1::3, with a service on port 8000 of every address,
 *   loopback too;
 * - around it, each with a service on port 8000: 198.51.100.1, .4, .5 and .6, 2001:db8:1::1 and ::4 (public), 10.20.0.5
 *   and fd00:20::5 (private), the metadata services 169.254.169.254 and fd00:ec2::254, and a name server at 10.20.0.6.
 *
 * Commands on the host find in `AROUND` what runs a command around it; in `/mnt/names`, files like `/etc/hosts` that the
 * name server reads whenever one is written; in `/mnt/questions`, what it was asked.
 *
 * Arguments: 1 the host's name server, 2… the command to run on that host. A name server on loopback is one that the host
 * runs itself.
 */
const script = `
set -eu
nameserver=$1
shift
mount -t proc proc /proc
mount --make-rprivate /

unshare --net sleep 1000 &
around=$!
until [ "$(readlink /proc/$around/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.01; done
export AROUND="nsenter --target $around --net"
ip link set lo up
ip link add outward type veth peer name toward netns $around
ip -batch - << COMMANDS
address add 192.0.2.2/24 dev outward
address add 198.51.100.2/24 dev outward
address add 2001:db8:1::2/64 dev outward nodad
address add 2001:db8:1::3/64 dev outward nodad
link set outward up
COMMANDS
$AROUND ip -batch - << COMMANDS
link set lo up
address add 192.0.2.1/24 dev toward
address add 198.51.100.1/24 dev toward
address add 198.51.100.4/24 dev toward
address add 198.51.100.5/24 dev toward
address add 198.51.100.6/24 dev toward
address add 10.20.0.5/24 dev toward
address add 10.20.0.6/24 dev toward
address add 169.254.169.254/32 dev toward
address add 2001:db8:1::1/64 dev toward nodad
address add 2001:db8:1::4/64 dev toward nodad
address add fd00:20::5/64 dev toward nodad
address add fd00:ec2::254/128 dev toward nodad
link set toward up
COMMANDS
ip route add default via 192.0.2.1
ip route add default via 2001:db8:1::1

mount -t tmpfs tmpfs /mnt
mkdir /mnt/names
chmod 755 /mnt/names
echo "198.51.100.1 public.example" > /mnt/names/public
names="--no-resolv --no-hosts --conf-file=/dev/null --user=root --hostsdir=/mnt/names --cname=alias.example,edge.cdn.example"
names="$names --txt-record=large.example,$(head -c 250 /dev/zero | tr '\\0' x),$(head -c 250 /dev/zero | tr '\\0' y),$(head -c 250 /dev/zero | tr '\\0' z),$(head -c 250 /dev/zero | tr '\\0' w),$(head -c 250 /dev/zero | tr '\\0' v)"
$AROUND dnsmasq $names --listen-address=10.20.0.6 --bind-interfaces --pid-file= --log-queries --log-facility=/mnt/questions
case $nameserver in 127.*) dnsmasq $names --listen-address="$nameserver" --bind-interfaces --pid-file= ;; esac
echo "nameserver $nameserver" > /mnt/resolv.conf
mount --bind /mnt/resolv.conf /etc/resolv.conf
$AROUND "$NODE" -e "$SERVICE" &
"$NODE" -e "$SERVICE" &
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
      env: { ...process.env, NODE: process.execPath, SERVICE: service },
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

import { spawnSync } from 'node:child_process';
import { type EgressPolicy, maximumListedContacts } from '@slipway/core';
import { describe, expect, test } from 'vitest';
import { egressRules } from '../src/network/egress-rules.ts';
import { allow, get, inside, name, onHost, tryOut } from './egress-trial.ts';

describe('under every policy', () => {
  const names = ['loopback', 'host', 'private', 'metadata', 'metadata6', 'router', 'pasta', 'neighbour'];
  const addresses = [
    ...['127.0.0.1', '192.0.2.2', '10.20.0.5', '169.254.169.254', 'fd00:ec2::254'],
    ...['192.0.0.1', '169.254.1.1', '192.0.0.2'],
  ];
  const rebind = names.map((host, index) => name(addresses[index] ?? '', `${host}.evil.example`));

  test.each<EgressPolicy>([{ mode: 'open' }, allow('*.evil.example')])(
    'a name that leads to a private address opens none ($mode)',
    async (policy) => {
      const { outputs, refusals } = await tryOut(policy, [
        ...rebind,
        ...names.map((host) => get(`${host}.evil.example`)),
      ]);
      for (const output of outputs.slice(names.length)) expect(output).toContain('refused');
      expect(refusals).toContain('private.evil.example 10.20.0.5 8000 tcp private');
      expect(refusals).toContain('metadata.evil.example 169.254.169.254 8000 tcp metadata');
      expect(refusals).toContain('host.evil.example 192.0.2.2 8000 tcp private');
    },
  );

  test('metadata services are refused, also inside a network that the runner allows', async () => {
    const services = ['169.254.169.254', '[fd00:ec2::254]'];
    const { outputs } = await tryOut(
      { mode: 'open' },
      [
        ...services.map((service) => onHost(`get http://${service}:8000/`)),
        ...services.map(get),
        get('10.20.0.5'),
      ],
      ['169.254.0.0/16', 'fd00::/8', '10.0.0.0/8'],
    );
    expect(outputs.slice(0, 2)).toEqual(['169.254.169.254', 'fd00:ec2::254']);
    for (const output of outputs.slice(2, 4)) expect(output).toContain('refused');
    expect(outputs[4]).toBe('10.20.0.5');
  });

  test('nothing that can be done inside changes the rules, even for root', async () => {
    const { outputs, refusals } = await tryOut({ mode: 'open' }, [
      inside('nft flush ruleset; nft list ruleset | wc -l; sysctl -qw net.ipv4.ip_forward=1'),
      ...[get('10.20.0.5'), get('169.254.169.254'), get('198.51.100.1')],
    ]);
    expect(outputs[0]).toBe('0');
    expect(outputs[1]).toContain('refused');
    expect(outputs[2]).toContain('refused');
    expect(outputs[3]).toBe('198.51.100.1');
    expect(refusals).toContain('- 10.20.0.5 8000 tcp private');
  });

  test('a redirect to a private address is refused', async () => {
    const { outputs, contacts, refusals } = await tryOut({ mode: 'open' }, [
      inside('get "http://198.51.100.1:8000/?redirect=http://198.51.100.4:8000/"'),
      inside('get "http://198.51.100.1:8000/?redirect=http://10.20.0.5:8000/"'),
      inside('get "http://198.51.100.1:8000/?redirect=http://169.254.169.254:8000/"'),
    ]);
    expect(outputs[0]).toBe('198.51.100.4');
    expect(outputs[1]).toContain('refused');
    expect(outputs[2]).toContain('refused');
    expect(contacts).toContain('- 198.51.100.1 8000 tcp');
    expect(refusals).toEqual(
      expect.arrayContaining(['- 10.20.0.5 8000 tcp private', '- 169.254.169.254 8000 tcp metadata']),
    );
  });

  test('large answers come over TCP', async () => {
    const [answer] = (
      await tryOut({ mode: 'open' }, [
        inside('dig +time=2 +tries=1 @$resolver TXT large.example | grep -c xxxx'),
      ])
    ).outputs;
    expect(answer).toBe('1');
  });

  test('raw packets, other protocols, fragments and foreign addresses lead nowhere, even for root', async () => {
    const raw = (protocol: number, to: string) =>
      inside(`perl -MSocket -e 'socket S, PF_INET, SOCK_RAW, ${protocol} or die $!;
        send S, "\\x08\\0\\xf7\\xff" . "\\0" x 28, 0, sockaddr_in(0, inet_aton("${to}")) or print $!'`);
    const datagram = (from: string, to: string, bytes: number) =>
      inside(`timeout 2 perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(Proto => "udp", LocalAddr => "${from}", PeerAddr => "${to}");
        send $s, "x" x ${bytes}, 0; recv $s, $a, 9999, 0; print $a ? length $a : $!'`);
    const { outputs, refusals, contacts, record } = await tryOut(allow('198.51.100.1'), [
      ...[132, 47, 33, 1].flatMap((protocol) => [
        raw(protocol, '198.51.100.5'),
        raw(protocol, '198.51.100.1'),
      ]),
      inside('ip link set eth0 mtu 1280; ip address add 10.99.0.1/32 dev eth0'),
      datagram('192.0.0.2', '198.51.100.1:8000', 4000),
      datagram('192.0.0.2', '198.51.100.5:8000', 4000),
      datagram('10.99.0.1', '198.51.100.1:8000', 10),
    ]);
    expect(outputs[9]).toMatch(/^\d+$/);
    expect(outputs[10]).not.toMatch(/^\d+$/);
    expect(outputs[11]).not.toMatch(/^\d+$/);
    expect(refusals).toEqual(
      expect.arrayContaining([
        ...['198.51.100.1', '198.51.100.5'].map((to) => `- ${to} - gre protocol`),
        expect.stringMatching(/^- 198.51.100.5 \d+ sctp protocol$/),
        '- 198.51.100.5 - icmp policy',
        '- 198.51.100.5 8000 udp policy',
      ]),
    );
    expect(contacts.sort()).toEqual(['- 198.51.100.1 - icmp', '- 198.51.100.1 8000 udp']);
    expect(record.contacted.find(({ protocol }) => protocol === 'udp')?.count).toBe(1);
  });

  test('a run that tries every port costs no more than one that does not, and all of it is counted', async () => {
    const ports = 20_000;
    const flood = inside(`perl -MSocket -e 'socket S, PF_INET, SOCK_DGRAM, 0; for $port (1..${ports}) {
      # An earlier refusal is told at the next send; that one is not sent then.
      send(S, "x", 0, sockaddr_in($port, inet_aton("198.51.100.1"))) or redo }; print "sent"'`);
    for (const mode of ['none', 'open'] as const) {
      const { record, outputs, milliseconds } = await tryOut({ mode }, [flood]);
      expect(outputs).toEqual(['sent']);
      const through = record.contacted.reduce((sum, { count }) => sum + count, record.unlisted.contacted);
      const refused = record.refused.reduce((sum, { count }) => sum + count, record.unlisted.refused);
      expect(through + refused).toBe(ports);
      expect(mode === 'none' ? record.refused : record.contacted).toHaveLength(maximumListedContacts);
      // 2000 at once and 500 a second.
      expect(through).toBeLessThan(2100 + (500 * (milliseconds[0] ?? 0)) / 1000);
    }
  });

  test('a run that asks for names without end is answered some hundred a second', async () => {
    const questions = 10_000;
    const { outputs, milliseconds, record } = await tryOut({ mode: 'none' }, [
      inside(`perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(Proto => "udp", PeerAddr => "$ARGV[0]:53");
        for $n (1..${questions}) { send $s, pack("n6", $n, 256, 1, 0, 0, 0) . pack("C/a C/a x n2", "n$n", "example", 1, 1), 0; take() }
        sleep 1; take(); print $answers;
        sub take { $answers++ while defined recv($s, $a, 999, MSG_DONTWAIT) }' $resolver`),
    ]);
    expect(Number(outputs[0])).toBeGreaterThan(100);
    expect(Number(outputs[0])).toBeLessThan(1100 + (500 * (milliseconds[0] ?? 0)) / 1000);
    expect(record.refused.length).toBeLessThanOrEqual(maximumListedContacts);
  });
});

test('the sets that count places do not grow beyond their size', async () => {
  const rules = egressRules({
    ...{ policy: { mode: 'open' }, nameservers: [], hostAddresses: [], allowedPrivateNetworks: [] },
    gatewayHostPort: 9,
  });
  const fill = (count: number) => {
    const elements = Array.from({ length: count }, (_, index) => `198.51.100.1 . udp . ${index + 1}`);
    const addition = `add element inet slipway refused_ipv4 { ${elements.join(', ')} }`;
    return spawnSync('unshare', ['--net', 'nft', '-f', '-'], { input: `${rules}${addition}` }).status;
  };
  expect(fill(4096)).toBe(0);
  expect(fill(4097)).toBe(1);
});

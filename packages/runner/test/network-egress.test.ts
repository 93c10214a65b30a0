import { describe, expect, test } from 'vitest';
import { allow, get, inside, name, onHost, tryOut } from './egress-trial.ts';

describe('the policy allow', () => {
  test('lets names through, behind an alias and when their address changes, and nobody else', async () => {
    const { outputs, record, contacts, refusals, questions } = await tryOut(
      allow('alias.example', '*.wild.example', 'Exact.Example.', '198.51.100.6'),
      [
        name('198.51.100.1', 'edge.cdn.example'),
        name('198.51.100.1', 'a.wild.example'),
        name('198.51.100.1', 'wild.example'),
        name('198.51.100.1', 'exact.example'),
        name('198.51.100.1', 'below.exact.example'),
        name('198.51.100.5', 'evil.example'),
        inside('get http://198.51.100.1:8000/'),
        ...[get('alias.example'), get('a.wild.example'), get('exact.example'), get('198.51.100.6')],
        onHost('echo "198.51.100.4 edge.cdn.example" > /mnt/names/edge.cdn.example; sleep 0.2'),
        ...[get('alias.example'), get('198.51.100.1')],
        ...['edge.cdn.example', 'wild.example', 'below.exact.example', 'evil.example'].map(get),
        get('198.51.100.5'),
      ],
    );
    const [before, ...after] = outputs.slice(6);
    expect(before).toContain('refused');
    expect(after.slice(0, 4)).toEqual(['198.51.100.1', '198.51.100.1', '198.51.100.1', '198.51.100.6']);
    expect(after.slice(5, 7)).toEqual(['198.51.100.4', '198.51.100.1']);
    for (const output of after.slice(7, 11))
      expect(output).toMatch(/bad address.*refused|refused.*bad address/s);
    expect(after[11]).toContain('refused');

    expect(contacts).toContain('alias.example 198.51.100.4 8000 tcp');
    expect(contacts).toContain('- 198.51.100.6 8000 tcp');
    expect(refusals).toContain('evil.example - - dns policy');
    expect(refusals).toContain('edge.cdn.example - - dns policy');
    expect(refusals).toContain('- 198.51.100.5 8000 tcp policy');
    expect(record.unlisted).toEqual({ contacted: 0, refused: 0 });
    // Nothing else was asked, so nothing can be told to anybody in questions.
    expect(new Set(questions)).toEqual(new Set(['alias.example', 'a.wild.example', 'exact.example']));
  });

  test('means by a name that name alone, and by "*." the names below it', async () => {
    const listed = ['a.example', 'deep.b.a.example', '*.c.example', 'd.c.example', '*.e.a.example'];
    const reached = ['a.example', 'deep.b.a.example', 'x.c.example', 'y.x.c.example', 'd.c.example'];
    const alsoReached = ['x.d.c.example', 'x.e.a.example', 'A.Example'];
    const refused = [
      'x.a.example',
      'b.a.example',
      'x.deep.b.a.example',
      'c.example',
      'e.a.example',
      'example',
    ];
    const alsoRefused = ['aa.example', 'a.example.evil.example', 'xc.example', '.', 'localhost'];
    const ask = [...reached, ...alsoReached, ...refused, ...alsoRefused].map((host) =>
      inside(
        `dig +time=2 +tries=1 @$resolver TXT ${host} | grep -q "flags:.*aa" && echo asked || echo refused`,
      ),
    );
    const { outputs, questions } = await tryOut(allow(...listed), ask);
    // The name server around knows none of them; that it was asked is what counts.
    expect(questions).toEqual([...reached, ...alsoReached]);
    expect(outputs.length).toBe(ask.length);
  });

  test('lets git clone over ssh from a host that it lists, and from no other', async () => {
    const clone = (host: string) =>
      inside(`GIT_SSH_COMMAND="ssh -i /mnt/key -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o ConnectTimeout=5" \
        git clone -q ssh://root@${host}:2222/mnt/repository /mnt/clone-${host} && ls /mnt/clone-${host}`);
    const { outputs, contacts, refusals } = await tryOut(allow('git.example'), [
      name('198.51.100.4', 'git.example'),
      onHost(`
        set -e
        mkdir -p /run/sshd
        for key in key host-key; do ssh-keygen -q -t ed25519 -N "" -f /mnt/$key; done
        cp /mnt/key.pub /mnt/authorized
        git -c init.defaultBranch=main init -q /mnt/repository
        cd /mnt/repository
        echo hello > README
        git add .
        git -c user.name=T -c user.email=t@example.com commit -q -m first
        options="-o StrictModes=no -o UsePAM=no -o PidFile=none -o AuthorizedKeysFile=/mnt/authorized"
        $AROUND /usr/sbin/sshd -f /dev/null -p 2222 -h /mnt/host-key $options > /dev/null 2>&1`),
      ...[clone('git.example'), clone('198.51.100.5')],
    ]);
    expect(outputs[2]).toMatch(/^README$/m);
    expect(outputs[3]).toContain('Connection refused');
    expect(contacts).toEqual(['git.example 198.51.100.4 2222 tcp']);
    expect(refusals).toEqual(['- 198.51.100.5 2222 tcp policy']);
  });

  test('opens no private network that the runner does not allow, and the runner none that the policy does not list', async () => {
    const commands = [name('10.20.0.5', 'git.corp.example'), get('git.corp.example'), get('10.20.0.5')];
    const policy = allow('git.corp.example', '10.0.0.0/8');
    const [, byName, byAddress] = (await tryOut(policy, commands)).outputs;
    expect([byName, byAddress].join()).not.toContain('10.20.0.5,');
    expect(byName).toContain('refused');
    expect(byAddress).toContain('refused');

    const both = await tryOut(policy, commands, ['10.20.0.0/16']);
    expect(both.outputs.slice(1)).toEqual(['10.20.0.5', '10.20.0.5']);

    const other = await tryOut(allow('other.example'), commands, ['10.20.0.0/16']);
    expect(other.outputs[1]).toContain('refused');
    expect(other.outputs[2]).toContain('refused');
    expect(other.refusals).toContain('- 10.20.0.5 8000 tcp policy');
  });

  test('holds for IPv6 alike', async () => {
    const { outputs, refusals } = await tryOut(allow('six.example', '2001:db8:1::/126'), [
      name('2001:db8:1::4', 'six.example'),
      ...['[2001:db8:1::4]', 'six.example', '[2001:db8:1::4]', '[2001:db8:1::1]'].map(get),
      name('fd00:20::5', 'six.example'),
      ...['six.example', '[fd00:20::5]', '[fd00:ec2::254]'].map(get),
    ]);
    expect(outputs[1]).toContain('refused');
    expect(outputs.slice(2, 5)).toEqual(['2001:db8:1::4', '2001:db8:1::4', '2001:db8:1::1']);
    for (const output of outputs.slice(6)) expect(output).toContain('refused');
    expect(refusals).toContain('six.example fd00:20::5 8000 tcp private');
    expect(refusals).toContain('- fd00:ec2::254 8000 tcp metadata');
  });

  test('holds for UDP and other resolvers, whatever they are reached by', async () => {
    const udp = (host: string) =>
      inside(
        `timeout 2 perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(Proto => "udp", PeerAddr => "${host}:8000"); send $s, "hello", 0; recv $s, $a, 99, 0; print $a || $!'`,
      );
    const ask = (resolver: string, how = '') =>
      inside(
        `dig +time=2 +tries=1 ${how} @${resolver} public.example | grep -E "status|refused|unreachable|timed out"`,
      );
    const { outputs, milliseconds, refusals, questions } = await tryOut(allow('public.example'), [
      ...[get('public.example'), udp('198.51.100.1'), udp('198.51.100.5')],
      ...[ask('10.20.0.6'), ask('10.20.0.6', '+tcp'), ask('198.51.100.5'), ask('198.51.100.5', '+tcp')],
      inside('get http://198.51.100.5:443/dns-query; get http://198.51.100.5:853/'),
    ]);
    expect(outputs[1]).toBe('echo of hello');
    for (const output of outputs.slice(2)) expect(output).not.toMatch(/echo|NOERROR|^[0-9.]+$/);
    expect(Math.max(...milliseconds.slice(3))).toBeLessThan(2500);
    expect(refusals).toEqual(
      expect.arrayContaining([
        '- 198.51.100.5 8000 udp policy',
        '- 10.20.0.6 53 udp private',
        '- 10.20.0.6 53 tcp private',
        '- 198.51.100.5 53 udp policy',
        '- 198.51.100.5 443 tcp policy',
      ]),
    );
    expect(new Set(questions)).toEqual(new Set(['public.example']));
  });
});

describe('the policy none', () => {
  test('leaves the gateway and nothing else: no question leaves the host, of no type and over no protocol', async () => {
    const ask = (question: string) => inside(`dig +time=2 +tries=1 @$resolver ${question} | grep status`);
    const { outputs, questions, contacts, refusals, record } = await tryOut({ mode: 'none' }, [
      inside('get http://slipway.internal/'),
      ...['secret.evil.example', 'TXT secret.evil.example', '+tcp AAAA evil.example', '-x 198.51.100.1'].map(
        ask,
      ),
      ...['NULL x.evil.example', 'TYPE65 evil.example', 'slipway.internal.evil.example', '.'].map(ask),
      inside(
        'dig +time=1 +tries=1 @10.20.0.6 evil.example; dig +time=1 +tries=1 +tcp @10.20.0.6 evil.example',
      ),
      inside(
        'dig +time=1 +tries=1 @169.254.1.1 evil.example; dig +time=1 +tries=1 @198.51.100.1 evil.example',
      ),
      ...['198.51.100.1', '[2001:db8:1::1]', '10.20.0.5', 'public.example'].map(get),
    ]);
    expect(outputs[0]).toBe('the gateway');
    for (const output of outputs.slice(1, 9)) expect(output).toContain('NXDOMAIN');
    for (const output of outputs.slice(11)) expect(output).toContain('refused');
    expect(questions).toEqual([]);
    expect(contacts).toEqual([]);
    expect(refusals).toContain('secret.evil.example - - dns policy');
    // Asked for twice; for IPv4 and IPv6 at once is one look-up.
    expect(record.refused.find(({ hosts }) => hosts[0] === 'public.example')?.count).toBe(1);
  });
});

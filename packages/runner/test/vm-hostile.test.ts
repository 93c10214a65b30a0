import { randomBytes } from 'node:crypto';
import { type Duplex, duplexPair } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { explainMachineEnd } from '../src/isolation/vm/exit-explanation.ts';
import { GuestReports } from '../src/isolation/vm/guest-reports.ts';
import { InitChannel } from '../src/isolation/vm/init-channel.ts';
import { Qmp } from '../src/isolation/vm/qmp.ts';

/** Opens one end of a channel; answers the other one, and what the first complained about and heard. */
function openWith(
  open: (near: Duplex, violated: (what: string) => void, heard: (what: string) => void) => void,
) {
  const [near, far] = duplexPair();
  const violations: string[] = [];
  const heard: string[] = [];
  open(
    near,
    (what) => violations.push(what),
    (what) => heard.push(what),
  );
  far.on('error', () => {});
  far.resume();
  return { near, far, violations, heard };
}
const openMonitor = () => openWith((near, violated, heard) => new Qmp(near, { violated, stopped: heard }));
const openInit = () =>
  openWith((near, violated, heard) => {
    const options = { silenceSeconds: 15, now: Date.now, violated };
    new InitChannel(near, { ...options, heard: ({ event }) => heard(event) });
  });

const usage =
  '{"event":"usage","uptimeMilliseconds":1,"cpuMicroseconds":1,"memoryBytes":1,"volumeBytes":1,"receivedBytes":1,"sentBytes":1}\n';

const nonsense: [string, string | Buffer][] = [
  ['bytes that are no text', Buffer.concat([randomBytes(1000), Buffer.from('\n')])],
  ['JSON of another shape', '{"event":7}\n'],
  ['half a message', '{"event":"SHUT\n'],
  ['nothing but a line end', '\n'],
  ['a line without an end', 'x'.repeat(100_000)],
];

describe.each([
  ['the monitor of QEMU', openMonitor],
  ["the channel of the guest's init", openInit],
])('%s', (_name, open) => {
  test.each(nonsense)('is closed when %s comes, and that is all', async (_what, bytes) => {
    const { near, far, violations, heard } = open();
    far.write(bytes);
    await turn();
    expect(violations).toHaveLength(1);
    far.write('{"event":"started"}\n{"event":"SHUTDOWN","data":{"reason":"late"}}\n');
    await turn();
    expect(violations).toHaveLength(1);
    expect(near.destroyed).toBe(true);
    expect(heard).toEqual([]);
  });
});

test.each([
  ['the monitor of QEMU', openMonitor, '{"event":"BLOCK_IO_ERROR"}\n'],
  ["the channel of the guest's init", openInit, usage],
])('%s is closed when it is flooded, and not when much happens at once', async (_name, open, line) => {
  const { near, far, violations } = open();
  far.write(line.repeat(3_000));
  await turn();
  expect(violations).toEqual([]);
  far.write(line.repeat(3_000));
  await turn();
  expect(violations).toEqual(['more lines than anybody needs']);
  expect(near.destroyed).toBe(true);
});

test.each(['6.1\\u001b]0;title\\u0007', '', '6.1 and a sentence', 'x'.repeat(101)])(
  'a guest is not believed a kernel of the name "%s"',
  async (kernelRelease) => {
    const { far, violations } = openInit();
    far.write(`{"event":"boot","kernelRelease":"${kernelRelease}","bootId":"0","timerHertz":1}\n`);
    await turn();
    expect(violations).toEqual(['a line that is no event']);
  },
);

test.each(['-1', '1.5', '1e999', '9007199254740992', 'null', '"1"'])(
  'a guest that claims to use %s is cut off',
  async (nonsense) => {
    const { far, violations, heard } = openInit();
    far.write(usage.replace('"memoryBytes":1', `"memoryBytes":${nonsense}`));
    await turn();
    expect(violations).toEqual(['a line that is no event']);
    expect(heard).toEqual([]);
  },
);

test('what the monitor tells is understood in pieces', async () => {
  const { far, violations, heard } = openMonitor();
  for (const piece of [
    '{"QMP":{}}\n{"event":"SHUT',
    'DOWN","data":{"guest":true,"reason":"guest-',
    'reset"}}\n',
  ]) {
    far.write(piece);
    await turn();
  }
  expect(violations).toEqual([]);
  expect(heard).toEqual(['guest-reset']);
});

test('a command that is not answered before the connection ends fails', async () => {
  const [near, far] = duplexPair();
  const monitor = new Qmp(near, { stopped: () => {}, violated: () => {} });
  far.resume();
  const answer = monitor.execute('query-status');
  near.destroy();
  await expect(answer).rejects.toThrow('QEMU has ended');
  await expect(monitor.execute('query-status')).rejects.toThrow('QEMU has ended');
});

test('of a panic with a long trace its first line is told', () => {
  const trace = Array.from({ length: 60 }, (_, index) => `[    1.7]  ? call_${index}+0x1/0x2`);
  const lines = ['[    1.6] Kernel panic - not syncing: Attempted to kill init!', ...trace];
  const size = { cpus: 1, memoryMiB: 512, volumeGiB: 1 };
  const machineEnd = {
    ...{ qemu: { code: 0, signal: null }, errors: '', reason: 'guest-reset', killedForMemory: false },
    consoleLines: lines,
  };
  const exit = explainMachineEnd(machineEnd, new GuestReports(), size);
  expect(exit).toMatchObject({
    cause: 'guest-panic',
    message: expect.stringContaining('Attempted to kill init'),
  });
});

import { expect, test } from 'vitest';
import { ProgressBar, type ProgressStream } from '../src/progress-bar.ts';

function shownBy(stream: Omit<ProgressStream, 'write'>, use: (bar: ProgressBar) => void): string {
  let shown = '';
  use(
    new ProgressBar({
      ...stream,
      write: (text) => {
        shown += text;
      },
    }),
  );
  return shown;
}

test('where nobody sees a line change, a stage is told in lines, about one for each tenth', () => {
  const shown = shownBy({}, (bar) => {
    bar.say('making a root …');
    for (let done = 1; done <= 100; done += 1) bar.show('Unpacking', done, 100, 'packages');
    for (let done = 0; done <= 2; done += 1) bar.show('Packing', done, 2, 'layers');
    for (let done = 0; done < 5; done += 1) bar.show('Converting', done * 1024 ** 2, undefined);
    bar.end();
  });
  const lines = shown.split('\n');
  expect(lines.slice(0, 3)).toEqual([
    'making a root …',
    'Unpacking 1 of 100 packages',
    'Unpacking 11 of 100 packages',
  ]);
  expect(lines.slice(-5)).toEqual([
    'Packing 0 of 2 layers',
    'Packing 1 of 2 layers',
    'Packing 2 of 2 layers',
    'Converting 0.0 MiB',
    '',
  ]);
  expect(lines.length).toBeLessThan(17);
});

test('on a terminal one line changes, which is never wider than the terminal and obeys nobody', () => {
  const shown = shownBy({ isTTY: true, columns: 60 }, (bar) => {
    bar.say(`\u001b]0;owned\u0007\r\n${'x'.repeat(100)}`);
    bar.show('Packing', 1, 2, 'layers');
    bar.show('Converting', 3 * 1024 ** 2, undefined);
    bar.end();
  });
  expect(shown.split('\r\u001b[K')).toEqual([
    '',
    `␛]0;owned␇ ${'x'.repeat(48)}`,
    `Packing [${'='.repeat(15)}${' '.repeat(15)}]  50 % 1 of 2 layers`.slice(0, 59),
    'Converting 3.0 MiB',
    '',
  ]);
});

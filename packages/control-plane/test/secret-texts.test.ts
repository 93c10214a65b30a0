import { expect, test } from 'vitest';
import { secretTexts } from '../src/secrets/index.ts';

test.each([
  ['a value of the configuration', 'hunter2 & "more"', ['hunter2 & "more"']],
  ['a string of the state', '"say \\"hunter2\\"\\n"', ['say "hunter2"\n']],
  [
    'a document, with each string in it',
    '{"user":"ada","keys":["k-1"]}',
    ['{"user":"ada","keys":["k-1"]}', 'ada', 'k-1'],
  ],
  ['a document in a string', '"{\\"key\\":\\"hunter2\\"}"', ['{"key":"hunter2"}', 'hunter2']],
  ['a number, as it is and as it is printed', '12345678.0', ['12345678.0', '12345678']],
  ['a number in a document', '[87654321]', ['[87654321]', '87654321']],
  ['nothing of what tells nothing', 'true', []],
  ['nothing of what tells nothing, in a document', '[null,false]', ['[null,false]']],
  [
    'an asset, but not what marks it as one',
    '{"4dabf18193072939515e22adb298388d":"c44067f5952c0a294b673a41bacd8c17","text":"hunter2"}',
    ['{"4dabf18193072939515e22adb298388d":"c44067f5952c0a294b673a41bacd8c17","text":"hunter2"}', 'hunter2'],
  ],
])('of %s', (_what, plaintext, texts) => {
  expect([...secretTexts(plaintext)]).toEqual(texts);
});

test('a document that is nested without end is one text', () => {
  const nested = `${'['.repeat(100_000)}"hunter2"${']'.repeat(100_000)}`;
  expect([...secretTexts(nested)]).toEqual([nested]);
});

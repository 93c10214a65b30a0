import { expect, test } from 'vitest';
import { harmlessLine, harmlessText, registerRequest } from '../src/index.ts';

const esc = '\u001b';

test.each([
  ['a title', `${esc}]0;owned\u0007`, '␛]0;owned␇'],
  ['the clipboard', `${esc}]52;c;cm0gLXJm${esc}\\`, '␛]52;c;cm0gLXJm␛\\'],
  ['the cursor', `all is well${esc}[1A${esc}[2K`, 'all is well␛[1A␛[2K'],
  ['a question that a terminal answers', `${esc}[6n${esc}[c${esc}P+q544e${esc}\\`, '␛[6n␛[c␛P+q544e␛\\'],
  ['backspaces', 'no\b\byes', 'no␈␈yes'],
  ['controls of one byte', '\u009b2J\u0090x\u009c', '\uFFFD2J\uFFFDx\uFFFD'],
  ['what PostgreSQL refuses', 'a\0b\u007f', 'a\uFFFDb␡'],
  ['half a colour', `${esc}[31`, '␛[31'],
  ['a colour of no end', `${esc}[${'1;'.repeat(100)}m`, `␛[${'1;'.repeat(100)}m`],
])('%s in a text does nothing to a terminal', (_name, text, shown) => {
  expect(harmlessText(text)).toBe(shown);
});

test('colours, tabs, line ends, progress bars and other languages stay as they are', () => {
  const text = `${esc}[38;5;13mpulumi${esc}[0m\tüberall 日本語 العربية\r\n10%\r20% 🎉`;
  expect(harmlessText(text)).toBe(text);
});

test('a runner cannot give its host a name that does something to a terminal', () => {
  const { hostname } = registerRequest.shape;
  expect(hostname.parse(`${esc}[2Jhost`)).toBe('␛[2Jhost');
});

test('a sentence for the middle of other text is one line, without colours and of one direction, and not too long', () => {
  const line = harmlessLine(`  ${esc}[31mred${esc}[0m\r\nand\u2028\u202egnp.exe\t🎉\0`, 100);
  expect(line).toBe('␛[31mred␛[0m and \uFFFDgnp.exe 🎉\uFFFD');
  expect(harmlessLine('a'.repeat(1_000_000), 10)).toBe('a'.repeat(10));
  expect(harmlessLine('🎉🎉', 3)).toBe('🎉\uFFFD');
});

import { maskPatterns, maskText } from '@slipway/core';
import { expect, test } from 'vitest';
import { maskEvent } from '../src/stacks/mask-event.ts';
import { type Json, randomFrom, randomJson } from './random-json.ts';

const secrets = maskPatterns(['secret', '12345678']);

test('strings are masked as they are meant, escapes and names included, and nothing else is changed', () => {
  const text = '{ "na\\u006de":"say \\"secret\\"", "n": 1.0, "secret":["\\/x","secret"] }';
  expect(maskEvent(secrets, text)).toBe('{ "na\\u006de":"say \\"***\\"", "n": 1.0, "***":["\\/x","***"] }');
});

test('a number that is a secret is masked where anything may stand, and nowhere else', () => {
  const event = (number: string, free: string) =>
    `{"sequence":${number},"timestamp":${number},"resourcePreEvent":{"metadata":{"seen":[${number}],"new":{"inputs":` +
    `{"pin":${free},"deep":[{"n":${free},"not":123456789,"also not":-12345678}]},"outputs":{}},"more":${number}}}}`;
  expect(maskEvent(secrets, event('12345678', '12345678'))).toBe(event('12345678', '"***"'));
});

test("the engine's own words stay where they are its own, or no CLI could read the event", () => {
  const words = maskPatterns(['create', 'update', 'metadata', 'error']);
  const event = (message: string, inner: string) =>
    `{"resourcePreEvent":{"metadata" : {"op":"create","detailedDiff":{"x":{"diffKind":"update"}},"id":"${message}",` +
    `"new":{"inputs":{"op":"${inner}","${inner}":"${inner}"}}}},"summaryEvent":{"resourceChanges":{"create":1}},` +
    `"diagnosticEvent":{"message":"${message}","severity":"error"}}`;
  expect(maskEvent(words, event('create', 'update'))).toBe(event('***', '***'));
});

/** What masking an event means: every string, and every number in what `outputs` names. */
function masked(value: Json, isFree: boolean): Json {
  if (typeof value === 'string') return value.replaceAll('secret', maskText);
  if (value === 12_345_678) return isFree ? maskText : value;
  if (Array.isArray(value)) return value.map((element) => masked(element, isFree));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [
      name.replaceAll('secret', maskText),
      masked(member, isFree || (name === 'outputs' && typeof member === 'object')),
    ]),
  );
}

/** The same value with secrets and free members sown over it. */
function sown(random: () => number, value: Json): Json {
  if (typeof value === 'number') return random() < 0.5 ? 12_345_678 : value;
  if (typeof value === 'string') return random() < 0.5 ? `${value}secret` : value;
  if (Array.isArray(value)) return value.map((element) => sown(random, element));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, member], index) => [
      index === 0 && random() < 0.3 ? 'outputs' : random() < 0.3 ? `${name}secret` : name,
      sown(random, member),
    ]),
  );
}

test('a thousand events are masked as if they were parsed, masked and printed', () => {
  let changed = 0;
  for (let seed = 0; seed < 1000; seed += 1) {
    const random = randomFrom(seed);
    const event = sown(random, [randomJson(random, 5), randomJson(random, 5)]);
    const text = JSON.stringify(event);
    const expected = JSON.stringify(masked(event, false));
    expect(maskEvent(secrets, text)).toBe(expected);
    if (expected !== text) changed += 1;
  }
  expect(changed).toBeGreaterThan(300);
});

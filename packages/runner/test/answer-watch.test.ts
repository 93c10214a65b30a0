import { expect, test } from 'vitest';
import { AnswerWatch, type Silence } from '../src/isolation/vm/answer-watch.ts';

const second = 1_000;

/** A watch that is asked for, and a clock that the test moves. */
function watched() {
  const silences: Silence[] = [];
  const watch = new AnswerWatch({ lost: (silence) => silences.push(silence) });
  let now = 5_000_000;
  let answer = {};
  return {
    silences,
    watch,
    answers: () => {
      answer = {};
    },
    /** So many questions, each so long after the one before. QEMU keeps half a processor busy. */
    ask: (times: number, milliseconds = second) => {
      for (let count = 0; count < times; count += 1) {
        now += milliseconds;
        watch.asked(answer, now / 2, now);
      }
    },
  };
}

test('a guest that answers nothing for five minutes is lost, and not before', () => {
  const { ask, silences } = watched();
  ask(300);
  expect(silences).toEqual([]);
  ask(1);
  expect(silences).toEqual([{ seconds: 300, processorSeconds: 150 }]);
});

test('an answer is a sign of life, however late it comes', () => {
  const { ask, answers, silences } = watched();
  for (let times = 0; times < 10; times += 1) {
    ask(299);
    answers();
  }
  expect(silences).toEqual([]);
});

test('a runner that was stopped does not blame its guest for that', () => {
  const { ask, silences } = watched();
  ask(200);
  ask(1, 3_600 * second);
  ask(90);
  expect(silences).toEqual([]);
});

test('who asks more often leaves a guest no less time', () => {
  const { ask, silences } = watched();
  ask(2_000, 100);
  expect(silences).toEqual([]);
});

test('a machine that stands still, as its host wants, is not silent', () => {
  const { ask, watch, silences } = watched();
  ask(290);
  watch.notAsked();
  ask(290);
  expect(silences).toEqual([]);
});

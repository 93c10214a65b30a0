export { appendLines, appendOwnLine } from './append.ts';
export { forgetHeldTexts } from './long-lines.ts';
export { readStep, type StepPage } from './step.ts';
export { type LogPage, readLog } from './stream.ts';

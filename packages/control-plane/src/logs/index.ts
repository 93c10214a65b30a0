export { appendLines, appendOwnLine, forgetHeldTexts } from './append.ts';
export { readStep, type StepPage } from './step.ts';
export { type LogPage, readLog } from './stream.ts';

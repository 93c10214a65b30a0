import { slipwayProgram } from './program.ts';

try {
  await slipwayProgram().parseAsync();
} catch (error) {
  console.error(`slipway: ${error instanceof Error ? error.message : error}`);
  if (process.env.SLIPWAY_DEBUG && error instanceof Error) console.error(error.stack, error.cause ?? '');
  process.exitCode = 1;
}

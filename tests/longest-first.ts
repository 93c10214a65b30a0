import { BaseSequencer, type TestSpecification } from 'vitest/node';
import { takeMinutes } from './company.ts';

/** Begins with what takes minutes, so that nobody waits for it at the end. A new clone knows no times of earlier runs. */
export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const takesMinutes = ({ moduleId }: TestSpecification) =>
      takeMinutes.some((path) => moduleId.endsWith(`/${path}`));
    const group = ({ project }: TestSpecification) => project.config.sequence.groupOrder;
    const sorted = await super.sort(files);
    return sorted.toSorted(
      (a, b) => group(a) - group(b) || Number(takesMinutes(b)) - Number(takesMinutes(a)),
    );
  }
}

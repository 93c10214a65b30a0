import { existsSync } from 'node:fs';
import { mkdir, readdir } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { checkOut } from '../git/checkout.ts';
import { Git } from '../git/git.ts';
import { gitAccess } from '../git/git-access.ts';
import { parseRepositoryUrl } from '../git/repository-url.ts';
import { describeRevision, revisionOf } from '../git/revision.ts';
import { type Step, type StepContext, StepFailure } from '../step.ts';

const projectFiles = ['Pulumi.yaml', 'Pulumi.yml', 'Pulumi.json'];

/** Checks the repository out at `/deployment` and makes sure that the project is where the settings say. */
export const getSource: Step = {
  name: 'Get source',
  async run(context) {
    const { job, layout, log, environment } = context;
    const repository = parseRepositoryUrl(job.source.repoUrl);
    const revision = revisionOf(job.source);
    const where = `the ${describeRevision(revision)} of ${repository.url}`;
    await makeEmptyDirectory(layout.deploymentDirectory);
    await log.write(`Cloning ${where}`);
    {
      await using access = await gitAccess(repository, job.source.credentials, environment);
      await checkOut(new Git(context, access), repository.url, revision);
    }
    checkProjectDirectory(context, where);
  },
};

async function makeEmptyDirectory(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true });
  if ((await readdir(directory)).length > 0) {
    throw new StepFailure(
      'image-unavailable',
      `The executor image holds files in ${directory}, where the source goes. Use an image without them, or set another executor root path.`,
    );
  }
}

function checkProjectDirectory({ job, layout }: StepContext, where: string): void {
  const { deploymentDirectory, projectDirectory } = layout;
  const folder = job.source.repoDir ?? '';
  const fail = (problem: string) => {
    throw new StepFailure('source-unavailable', `${problem} Correct the folder in the deployment settings.`);
  };
  if (relative(deploymentDirectory, projectDirectory).startsWith('..')) {
    fail(`The folder "${folder}" is outside the repository.`);
  }
  if (!existsSync(projectDirectory)) fail(`There is no folder "${folder}" in ${where}.`);
  if (!isBelowProjectFile(projectDirectory, deploymentDirectory)) {
    const place = folder === '' ? 'at the top' : `in the folder "${folder}"`;
    fail(`There is no Pulumi.yaml ${place} of ${where}.`);
  }
}

/** The CLI looks for the project file in the folders above, too. */
function isBelowProjectFile(directory: string, top: string): boolean {
  if (projectFiles.some((name) => existsSync(join(directory, name)))) return true;
  return directory !== top && isBelowProjectFile(dirname(directory), top);
}

import type { StackIdentity } from '@slipway/core';
import { sql } from 'kysely';
import { allUrls, type ControlPlane } from '../control-plane.ts';
import { badRequest, conflict } from '../http/errors.ts';
import { readCheckpoint, writeCheckpoint } from './checkpoint.ts';
import { findValue } from './raw-json.ts';
import { ensureProject, isDuplicate, type StackRecord } from './stack.ts';
import { joinState, type StoredDocument, splitState } from './state-document.ts';

type Name = Pick<StackIdentity, 'project' | 'stack'>;

/**
 * Gives a stack another name, also in its state, where every URN holds the name: otherwise the next update would
 * replace all resources. Keys, history and tags stay. Throws 409 when the name is taken or an update is running.
 */
export async function renameStack(controlPlane: ControlPlane, stack: StackRecord, to: Name): Promise<void> {
  const { db, urls } = controlPlane;
  try {
    await db.transaction().execute(async (tx) => {
      const projectId = await ensureProject(tx, stack.organization, to.project);
      if (!projectId) throw badRequest(`Bad Request: '${to.project}' cannot be made.`);
      // Locks the row: no update starts before this ends.
      await sql`
        UPDATE stacks SET name = ${to.stack}, project_id = ${projectId}, version = version + 1 WHERE id = ${stack.id}`.execute(
        tx,
      );
      const running = await sql`
        SELECT 1 FROM updates WHERE stack_id = ${stack.id} AND state = 'running' AND NOT is_preview`.execute(
        tx,
      );
      if (running.rows.length > 0) {
        throw conflict(
          'Conflict: Another update is currently in progress; rename the stack when it has ended.',
        );
      }
      const state = await readCheckpoint(tx, stack.id, stack.version);
      if (state) {
        const renamed = renameInState(joinState(state, urls.publicUrl), stack, to);
        await writeCheckpoint(tx, stack.id, stack.version + 1, splitState(renamed, allUrls(urls)));
      }
    });
  } catch (error) {
    if (!isDuplicate(error)) throw error;
    throw conflict(`Conflict: stack '${stack.organization}/${to.project}/${to.stack}' already exists`);
  }
}

/** Names hold no character that JSON escapes, so a URN is found as text: it begins a string. */
function renameInState(stateText: StoredDocument['document'], from: Name, to: Name): string {
  const urns = stateText.replaceAll(urnStart(from), urnStart(to)).replaceAll(rootName(from), rootName(to));
  const provider = ['deployment', 'secrets_providers', 'state'];
  return replaceValue(
    replaceValue(urns, [...provider, 'project'], to.project),
    [...provider, 'stack'],
    to.stack,
  );
}

const urnStart = ({ project, stack }: Name) => `"urn:pulumi:${stack}::${project}::`;
const rootName = ({ project, stack }: Name) => `::pulumi:pulumi:Stack::${project}-${stack}"`;

function replaceValue(text: string, path: readonly string[], value: string): string {
  const span = findValue(text, path);
  return span ? text.slice(0, span.start) + JSON.stringify(value) + text.slice(span.end) : text;
}

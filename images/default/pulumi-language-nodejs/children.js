import { spawn } from 'node:child_process';
import { Empty } from 'google-protobuf/google/protobuf/empty_pb.js';

const children = new Set();

/** Starts a process that ends with this host at the latest. */
export function startChild(command, argv, options) {
  const child = spawn(command, argv, options);
  children.add(child);
  child.on('close', () => children.delete(child));
  child.on('error', () => children.delete(child));
  return child;
}

/** How a process ended: its exit code, or 128 and the signal's number as shells have it. Rejects when it never ran. */
export function ended(child) {
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code, signal }));
  });
}

export function killChildren() {
  for (const child of children) child.kill('SIGKILL');
  return new Empty();
}

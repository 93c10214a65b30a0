/** Calls `stop` when the CLI that started this process was killed and could not say anything: it has another parent then. */
export function whenParentIsGone(stop) {
  const parent = process.ppid;
  setInterval(() => {
    if (process.ppid !== parent) stop();
  }, 1000).unref();
}

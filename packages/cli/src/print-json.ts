/** What `--json` answers, for people to read as well. */
export function printJson(value: object): void {
  console.log(JSON.stringify(value, undefined, 2));
}

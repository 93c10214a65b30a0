import type { Sandbox } from '../isolation/isolation.ts';

/** The script of a sandbox that does what a `SandboxShell` asks for. */
export const shellScript = `while read -r line <&3; do { eval "$line"; } 2>&1 < /dev/null; echo "\${0##*/} ended $?"; done >&3`;

/** The shell in a sandbox that runs `shellScript`, asked for one line after the other. */
export class SandboxShell {
  readonly #sandbox: Sandbox;
  #output = '';
  #heard = Promise.withResolvers<void>();

  constructor(sandbox: Sandbox) {
    this.#sandbox = sandbox;
    sandbox.channel.on('data', (chunk: Buffer) => {
      this.#output += chunk.toString();
      this.#heard.resolve();
      this.#heard = Promise.withResolvers();
    });
  }

  /** Output of the commands in `line`, standard error included, and their exit code behind it. */
  async run(line: string): Promise<string> {
    this.#sandbox.channel.write(`${line.replaceAll('\n', ' ')}\n`);
    const ended = this.#sandbox.exited.then(({ message }) => {
      throw new Error(`the sandbox ended: ${message}`);
    });
    for (;;) {
      const end = /^(.*?)sh ended (\d+)\n/s.exec(this.#output);
      if (end) {
        this.#output = this.#output.slice(end[0].length);
        return `${end[1]}${end[2] === '0' ? '' : `exit ${end[2]}\n`}`;
      }
      await Promise.race([this.#heard.promise, ended]);
    }
  }
}

/** Machines that programs are built for (ELF `e_machine`), as far as images are for them. */
export const machineNames: ReadonlyMap<number, string> = new Map([
  [3, 'x86'],
  [21, 'ppc64'],
  [22, 's390x'],
  [40, 'arm'],
  [62, 'x86-64'],
  [183, 'aarch64'],
  [243, 'riscv'],
]);

export interface ElfHeader {
  readonly machine: string;
  /** Path of the dynamic loader; undefined for a program that needs none. */
  readonly loader: string | undefined;
}

const loaderSegment = 3; // PT_INTERP

/** What a program says of itself at its beginning; undefined when it is no ELF file. */
export function readElfHeader(bytes: Buffer): ElfHeader | undefined {
  if (bytes.length < 64 || bytes.toString('latin1', 0, 4) !== '\x7fELF') return undefined;
  const isBigEndian = bytes[5] === 2;
  const number = isBigEndian ? bytes.readUInt16BE(18) : bytes.readUInt16LE(18);
  const machine = machineNames.get(number) ?? `machine ${number}`;
  const is64Bit = bytes[4] === 2;
  return { machine, loader: is64Bit && !isBigEndian ? loaderOf(bytes) : undefined };
}

function loaderOf(bytes: Buffer): string | undefined {
  const headers = Number(bytes.readBigUInt64LE(32));
  const headerBytes = bytes.readUInt16LE(54);
  const count = bytes.readUInt16LE(56);
  for (let index = 0; index < count; index += 1) {
    const at = headers + index * headerBytes;
    if (headerBytes < 56 || at + 56 > bytes.length) return undefined;
    if (bytes.readUInt32LE(at) !== loaderSegment) continue;
    const start = Number(bytes.readBigUInt64LE(at + 8));
    const length = Number(bytes.readBigUInt64LE(at + 32));
    return bytes.toString('latin1', start, start + length).replace(/\0.*$/s, '');
  }
  return undefined;
}

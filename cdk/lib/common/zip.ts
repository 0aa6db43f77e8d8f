// One file of a zip, without a dependency. A function's zip has two or three files and is a few megabytes.

import { inflateRawSync } from 'node:zlib';

const END = 0x06054b50;
const END_SIZE = 22;
const ENTRY = 0x02014b50;
const ENTRY_SIZE = 46;
const LOCAL_SIZE = 30;
/** The longest comment at the end of a zip. */
const MAX_COMMENT = 0xffff;

const STORED = 0;
const DEFLATED = 8;

/**
 * Returns a file of a zip by its whole name, or nothing if the zip has no such file.
 *
 * @throws Error if it is no zip, or one of a kind that Lambda's tools do not write
 */
export function fileInZip(zip: Buffer, name: string): Buffer | undefined {
  const end = endOf(zip);
  let at = zip.readUInt32LE(end + 16);
  for (let left = zip.readUInt16LE(end + 10); left > 0; left--) {
    if (at + ENTRY_SIZE > zip.length || zip.readUInt32LE(at) !== ENTRY) throw new Error('the zip is damaged');
    const nameLength = zip.readUInt16LE(at + 28);
    if (zip.toString('utf8', at + ENTRY_SIZE, at + ENTRY_SIZE + nameLength) === name) return content(zip, at);
    at += ENTRY_SIZE + nameLength + zip.readUInt16LE(at + 30) + zip.readUInt16LE(at + 32);
  }
  return undefined;
}

/** Returns where the record at the end is, from which everything else is found. */
function endOf(zip: Buffer): number {
  for (let at = zip.length - END_SIZE; at >= Math.max(0, zip.length - END_SIZE - MAX_COMMENT); at--) {
    if (zip.readUInt32LE(at) === END) return at;
  }
  throw new Error('it is no zip');
}

function content(zip: Buffer, entry: number): Buffer {
  const method = zip.readUInt16LE(entry + 10);
  const size = zip.readUInt32LE(entry + 20);
  const local = zip.readUInt32LE(entry + 42);
  if (local + LOCAL_SIZE > zip.length) throw new Error('the zip is damaged');
  // The lengths of name and extra field stand in both headers, and may differ.
  const start = local + LOCAL_SIZE + zip.readUInt16LE(local + 26) + zip.readUInt16LE(local + 28);
  const bytes = zip.subarray(start, start + size);
  if (method === STORED) return bytes;
  if (method === DEFLATED) return inflateRawSync(bytes);
  throw new Error(`the zip is compressed in a way that cannot be read (method ${method})`);
}

// SPDX-License-Identifier: GPL-3.0-or-later
// Whether a file can be one of the right kind, before it is sent. It saves a person time and is no lock: what a file
// really is, the pipeline judges, the only one that may read uploads.
import { MEGABYTE } from "/static/requests.js";

const FIRST_BYTES = 4096;
const UTF_16 = [[0xff, 0xfe], [0xfe, 0xff]];
const WORKBOOK = [0x50, 0x4b, 0x03, 0x04];
const NEVER = [
  { starts: [0xd0, 0xcf, 0x11, 0xe0], kind: "a workbook of an old kind, or one with a password" },
  { starts: [0x25, 0x50, 0x44, 0x46], kind: "a PDF" },
];

const startsWith = (bytes, start) => start.every((byte, index) => bytes[index] === byte);

/** What the file cannot be taken for, or an empty text. */
function misfit(bytes, endings) {
  const known = NEVER.find(({ starts }) => startsWith(bytes, starts));
  if (known) return known.kind;
  if (startsWith(bytes, WORKBOOK)) return endings.includes("xlsx") ? "" : "a workbook or an archive";
  return bytes.includes(0) && !UTF_16.some((mark) => startsWith(bytes, mark)) ? "not text" : "";
}

export const endingOf = (file) => /\.([a-z]+)$/.exec(file.name.toLowerCase())?.[1] ?? "";

/** What is wrong with the file, or an empty text. `kinds` has the possible `endings` of its name, and all in `words`. */
export async function problemOf(file, kinds, maxBytes) {
  if (!file) return "Select a file";
  if (file.size === 0) return "The selected file is empty";
  if (file.size > maxBytes) return `The selected file must be no larger than ${Math.floor(maxBytes / MEGABYTE)} MB`;
  if (!kinds.endings.includes(endingOf(file))) return `The selected file must be ${kinds.words}`;
  let bytes;
  try {
    bytes = new Uint8Array(await file.slice(0, FIRST_BYTES).arrayBuffer());
  } catch {
    return "The selected file cannot be read. Choose it again";
  }
  const kind = misfit(bytes, kinds.endings);
  return kind && `The selected file is ${kind}. Open it where it was made and save it as ${kinds.words}`;
}

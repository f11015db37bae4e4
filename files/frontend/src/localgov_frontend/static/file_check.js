// SPDX-License-Identifier: GPL-3.0-or-later
// Whether a file can be a CSV file, before it is sent. It saves a person time and is no lock: what is no CSV file in
// UTF-8 is rejected by the pipeline, the only one that may read uploads.
import { MEGABYTE } from "/static/requests.js";

const FIRST_BYTES = 4096;
const KINDS = [
  { starts: [0x50, 0x4b, 0x03, 0x04], kind: "a spreadsheet or an archive" },
  { starts: [0xd0, 0xcf, 0x11, 0xe0], kind: "a spreadsheet of an old kind" },
  { starts: [0x25, 0x50, 0x44, 0x46], kind: "a PDF" },
  { starts: [0xff, 0xfe], kind: "text in UTF-16" },
  { starts: [0xfe, 0xff], kind: "text in UTF-16" },
];

function kindOf(bytes) {
  const known = KINDS.find(({ starts }) => starts.every((byte, index) => bytes[index] === byte));
  if (known) return known.kind;
  return bytes.includes(0) ? "not text" : "";
}

/** What is wrong with the file, or an empty text. */
export async function problemOf(file, maxBytes) {
  if (!file) return "Select a file";
  if (file.size === 0) return "The selected file is empty";
  if (file.size > maxBytes) return `The selected file must be no larger than ${Math.floor(maxBytes / MEGABYTE)} MB`;
  if (!/\.csv$/i.test(file.name)) return "The selected file must be a CSV file, with a name that ends in .csv";
  let bytes;
  try {
    bytes = new Uint8Array(await file.slice(0, FIRST_BYTES).arrayBuffer());
  } catch {
    return "The selected file cannot be read. Choose it again";
  }
  const kind = kindOf(bytes);
  return kind && `The selected file is ${kind}. Open it where it was made and save it as CSV in UTF-8`;
}

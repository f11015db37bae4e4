// SPDX-License-Identifier: GPL-3.0-or-later
// Sends a large file to S3 in parts. What has arrived stays there, so after a cut connection, or when the page was
// closed and the person chooses the same file again, only the rest is sent. Every part is known by its checksum:
// whatever the name of the file says, what is put together is the file that is chosen now.
import { endingOf } from "/static/file_check.js";
import { UploadError, ask, transfer } from "/static/requests.js";

const PARALLEL = 3;
const ATTEMPTS = 8;
const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 15_000;
const DAY = 24 * 60 * 60 * 1000;

// --- What this browser remembers of an upload under way ---

// A browser may forbid storage: then an upload can be gone on with until the page is closed.
const withoutStorage = new Map();

function remembered(name) {
  try {
    return JSON.parse(localStorage.getItem(name));
  } catch {
    return withoutStorage.get(name) ?? null;
  }
}

function remember(name, upload) {
  withoutStorage.set(name, upload);
  try {
    localStorage.setItem(name, JSON.stringify(upload));
  } catch {
    // Kept above.
  }
}

function forget(name) {
  withoutStorage.delete(name);
  try {
    localStorage.removeItem(name);
  } catch {
    // There was nothing to forget.
  }
}

const prefix = (choice) => `upload/${choice.dataset}/${choice.year}/`;

/** Uploads of this return and year that were begun in this browser and neither finished nor cancelled, newest first. */
export function unfinished(choice) {
  let names = [];
  try {
    names = Object.keys(localStorage).filter((name) => name.startsWith(prefix(choice)));
  } catch {
    // No storage, nothing kept.
  }
  const kept = [];
  for (const name of names) {
    const upload = remembered(name);
    if (!upload || Date.now() - upload.begun > DAY) forget(name);
    else kept.push({ name, ...upload });
  }
  return kept.sort((one, other) => other.begun - one.begun);
}

export async function cancel(name) {
  const upload = remembered(name);
  forget(name);
  if (upload) await ask("/uploads/cancel", { upload: upload.upload }).catch(ignoreGone);
}

function ignoreGone(error) {
  if (error.status !== 410) throw error;
}

// --- Checksums ---

const digest = async (bytes) => new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
const base64 = (bytes) => btoa(String.fromCharCode(...bytes));

/** The name under which the upload of this file is kept. The file's own name may tell of a person, so it is hashed. */
async function nameOf(file, choice) {
  const text = JSON.stringify([file.name, file.size, file.lastModified]);
  const bytes = await digest(new TextEncoder().encode(text));
  return prefix(choice) + [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function read(blob) {
  try {
    return await blob.arrayBuffer();
  } catch {
    throw new UploadError("The file was changed or moved since you chose it. Choose it again.");
  }
}

// --- Attempts ---

function pause(attempt, signal) {
  const milliseconds = Math.random() * Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** attempt);
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    // The network is back: no reason to wait longer.
    addEventListener("online", resolve, { once: true });
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}

/** Try until it works, pausing longer and longer, by chance so that parts do not all come back at once. */
async function insist(work, signal, onTrouble) {
  for (let attempt = 0; ; attempt += 1) {
    signal.throwIfAborted();
    try {
      return await work();
    } catch (error) {
      if (!error.passing || attempt + 1 === ATTEMPTS) throw error;
      onTrouble();
      await pause(attempt, signal);
    }
  }
}

// --- The upload ---

class Parts {
  constructor(file, upload, hooks) {
    this.file = file;
    this.upload = upload;
    this.hooks = hooks;
    this.sent = new Map();
    this.stop = new AbortController();
    hooks.signal.addEventListener("abort", () => this.stop.abort(hooks.signal.reason));
  }

  slice(number) {
    const start = (number - 1) * this.upload.partBytes;
    return this.file.slice(start, start + this.upload.partBytes);
  }

  progress(number, bytes) {
    this.sent.set(number, bytes);
    this.hooks.onProgress([...this.sent.values()].reduce((sum, part) => sum + part, 0));
  }

  errand(name, more = {}) {
    return ask(`/uploads/${name}`, { upload: this.upload.upload, ...more }, this.stop.signal);
  }

  async sendAll() {
    const arrived = await this.insist(() => this.errand("parts"));
    const checksums = new Map(arrived.parts.map((part) => [part.number, part.sha256]));
    const count = Math.ceil(this.file.size / this.upload.partBytes);
    let next = 1;
    const worker = async () => {
      while (next <= count) {
        const number = next;
        next += 1;
        await this.send(number, checksums.get(number));
      }
    };
    try {
      await Promise.all(Array.from({ length: PARALLEL }, worker));
    } catch (error) {
      // One that gave up takes the others with it: they would give up as well, later.
      this.stop.abort(error);
      throw error;
    }
  }

  async send(number, arrived) {
    this.stop.signal.throwIfAborted();
    const bytes = await read(this.slice(number));
    const sha256 = base64(await digest(bytes));
    if (sha256 !== arrived) await this.insist(() => this.sendOnce(number, bytes, sha256));
    this.progress(number, bytes.byteLength);
  }

  async sendOnce(number, bytes, sha256) {
    const { url, headers } = await this.errand("sign", { number, sha256 });
    const onProgress = (sent) => this.progress(number, sent);
    try {
      await transfer("PUT", url, { body: bytes, headers, onProgress, signal: this.stop.signal });
    } catch (error) {
      this.progress(number, 0);
      throw error;
    }
    this.hooks.onRecovery();
  }

  /** When an answer was lost on its way, the next attempt finds no upload any more: S3 has put the parts together. */
  async complete() {
    let attempts = 0;
    await this.insist(async () => {
      attempts += 1;
      try {
        await this.errand("complete");
      } catch (error) {
        if (error.status !== 410 || attempts === 1) throw error;
      }
    });
  }

  insist(work) {
    return insist(work, this.stop.signal, this.hooks.onTrouble);
  }
}

async function begin(name, file, choice, signal) {
  const answer = await ask("/submissions", { ...choice, size: file.size, kind: endingOf(file) }, signal);
  const upload = { upload: answer.upload, partBytes: answer.part_bytes, follow: answer.follow, size: file.size };
  remember(name, { ...upload, begun: Date.now() });
  return remembered(name);
}

async function sendAndComplete(name, file, upload, hooks) {
  const parts = new Parts(file, upload, hooks);
  await parts.sendAll();
  remember(name, { ...upload, completing: true });
  await parts.complete();
  forget(name);
  return followNow(upload);
}

const followNow = (upload) => `${upload.follow}?sent=${Math.floor(Date.now() / 1000)}`;

async function goOnOrBegin(name, file, choice, hooks) {
  const kept = remembered(name);
  if (kept && Date.now() - kept.begun < DAY) {
    try {
      return await sendAndComplete(name, file, kept, hooks);
    } catch (error) {
      if (error.status !== 410) throw error;
      forget(name);
      // The page was closed before the answer to "complete" came, and S3 has put the parts together.
      if (kept.completing) return followNow(kept);
    }
  }
  return sendAndComplete(name, file, await begin(name, file, choice, hooks.signal), hooks);
}

/**
 * Send the file, going on with what an earlier attempt has left; resolves with the address that follows the file.
 * Hooks: signal, onProgress(bytes), onTrouble(), onRecovery(), onName(name of the upload, for `cancel`).
 */
export async function sendInParts(file, choice, hooks) {
  const name = await nameOf(file, choice);
  hooks.onName(name);
  return navigator.locks.request(name, { ifAvailable: true }, (lock) => {
    if (!lock) throw new UploadError("This file is being uploaded in another tab of this browser.");
    return goOnOrBegin(name, file, choice, hooks);
  });
}

export const canSendInParts = Boolean(globalThis.crypto?.subtle && navigator.locks);

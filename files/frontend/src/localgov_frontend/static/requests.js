// SPDX-License-Identifier: GPL-3.0-or-later
// What goes over the network, and how it fails: with a text for the person, and whether it may pass by itself.
export const MEGABYTE = 1024 * 1024;
// A connection that is dead without saying so.
const SILENCE_MILLISECONDS = 60_000;

export class UploadError extends Error {
  constructor(message, { passing = false, status = 0, code = "" } = {}) {
    super(message);
    this.passing = passing;
    this.status = status;
    this.code = code;
  }
}

/** The session's token, without which nothing that changes anything is accepted. Without sign-in there is none. */
function formToken() {
  const token = document.querySelector('meta[name="form-token"]')?.content;
  return token ? { "X-Form-Token": token } : {};
}

/** Ask the service; JSON both ways. */
export async function ask(path, body, signal) {
  let answer;
  try {
    answer = await fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json", ...formToken() },
      body: JSON.stringify(body),
      signal,
    });
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    const when = path === "/submissions" ? " before the upload began" : "";
    throw new UploadError(`The connection was lost${when}. Check your network.`, { passing: true });
  }
  const content = await answer.json().catch(() => ({}));
  if (answer.ok) return content;
  // A balancer whose targets are being replaced says nothing of its own; the service says so when it may pass.
  const passing = answer.status >= 502 && (content.error === undefined || answer.headers.has("Retry-After"));
  throw new UploadError(content.error ?? `The service answered ${answer.status}.`, { passing, status: answer.status });
}

/** Send to S3, with progress, which `fetch` does not tell. */
export function transfer(method, url, { body, headers = {}, onProgress, signal }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    let silence;
    const heard = () => {
      clearTimeout(silence);
      silence = setTimeout(() => request.abort(), SILENCE_MILLISECONDS);
    };
    const cancel = () => request.abort();
    const fail = () =>
      reject(
        signal?.aborted
          ? signal.reason
          : new UploadError(
              "The connection was lost. Check your network. If you changed the file since you chose it, choose it again.",
              { passing: true },
            ),
      );
    request.upload.addEventListener("progress", (event) => {
      heard();
      onProgress(event.loaded, event.total);
    });
    request.addEventListener("load", () => (request.status < 300 ? resolve() : reject(refusal(request))));
    request.addEventListener("error", fail);
    request.addEventListener("abort", fail);
    request.addEventListener("loadend", () => {
      clearTimeout(silence);
      signal?.removeEventListener("abort", cancel);
    });
    signal?.addEventListener("abort", cancel);
    request.open(method, url);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    heard();
    request.send(body);
  });
}

function refusal(request) {
  const code = /<Code>([A-Za-z0-9]+)<\/Code>/.exec(request.responseText)?.[1] ?? `status ${request.status}`;
  const passing = request.status >= 500 || code === "RequestTimeout" || code === "BadDigest" || request.responseText.includes("expired");
  const status = code === "NoSuchUpload" ? 410 : request.status;
  return new UploadError(`The data store refused it (${code}).`, { passing, status, code });
}

// SPDX-License-Identifier: GPL-3.0-or-later
// Sends the file from the browser to S3 and shows how far it is. Without this script the form does the same, unseen.
import { endingOf, problemOf } from "/static/file_check.js";
import { canSendInParts, cancel, sendInParts, unfinished } from "/static/parts.js";
import { MEGABYTE, UploadError, ask, transfer } from "/static/requests.js";

const find = (id) => document.getElementById(id);
const form = find("upload");
const choice = { dataset: form.dataset.dataset, year: form.dataset.year };
const kinds = { endings: form.dataset.endings.split(" "), words: form.dataset.kinds };
const maxBytes = Number(form.dataset.maxBytes);
const partBytes = Number(form.dataset.partBytes);
const megabytes = (bytes) => `${(bytes / MEGABYTE).toFixed(1)} MB`;

const REFUSALS = {
  AccessDenied: `The data store did not permit it. Try again; if it happens again, ask ${form.dataset.contact}.`,
  EntityTooLarge: `The file is larger than ${Math.floor(maxBytes / MEGABYTE)} MB.`,
  EntityTooSmall: "The file is empty.",
};

class Cancelled extends Error {}

// Of the upload under way: how to stop it, and under which name it is kept if it goes in parts.
let running = null;

function show(...shown) {
  for (const part of ["summary", "failure", "upload", "progress", "unfinished"]) {
    find(part).hidden = !shown.includes(part);
  }
}

function announce(text) {
  if (find("announcement").textContent !== text) find("announcement").textContent = text;
}

function markField(message) {
  find("file-error").hidden = !message;
  find("file-error-text").textContent = message;
  find("file-group").classList.toggle("govuk-form-group--error", Boolean(message));
  if (!message) return;
  find("summary-text").textContent = message;
  show("summary", "upload");
  find("summary").focus();
}

function showProgress(sent, total) {
  const percent = Math.floor((100 * sent) / total);
  find("bar").value = percent;
  find("progress-text").textContent =
    `${percent}% of ${megabytes(total)}` + (sent < total ? "" : ". Waiting for the data store");
  // All of it has arrived: it is too late to cancel, and nobody shall be told that nothing is kept.
  find("cancel").hidden = sent === total;
  // Read out at each quarter only, not at each of a hundred steps.
  if (find("trouble").hidden) announce(`${25 * Math.floor(percent / 25)}% uploaded`);
}

function showTrouble(isTrouble) {
  find("trouble").hidden = !isTrouble;
  if (isTrouble) announce(find("trouble").textContent);
}

function showFailure(error, inParts) {
  const kept = inParts && unfinished(choice).some(({ name }) => name === running.name);
  find("failure-title").textContent = kept ? "The file is not uploaded yet" : "The file was not uploaded";
  find("failure-text").textContent =
    (REFUSALS[error.code] ?? (error.code ? `${error.message} Ask ${form.dataset.contact}.` : error.message)) +
    (kept ? " What has arrived is kept until tomorrow." : "");
  find("retry").textContent = kept ? "Go on" : "Try again";
  announce("");
  show("failure", "upload");
  find("failure").focus();
}

function showUnfinished() {
  const [latest] = unfinished(choice);
  if (!latest) return;
  const begun = new Date(latest.begun).toLocaleString("en-GB", { dateStyle: "long", timeStyle: "short" });
  find("unfinished-text").textContent =
    `It was begun on ${begun}, with a file of ${megabytes(latest.size)}. Choose the same file again, and only what is ` +
    "missing is sent.";
  find("unfinished").hidden = false;
}

async function sendWhole(file, signal) {
  const submission = await ask("/submissions", { ...choice, size: file.size, kind: endingOf(file) }, signal);
  const body = new FormData();
  for (const [name, value] of Object.entries(submission.fields)) body.append(name, value);
  // The file's own name may tell of a person; it stays here.
  body.append("file", file, "upload");
  await transfer("POST", submission.url, { body, onProgress: showProgress, signal });
  return submission.follow;
}

function sendParts(file, signal) {
  return sendInParts(file, choice, {
    signal,
    onName: (name) => {
      running.name = name;
    },
    onProgress: (sent) => showProgress(sent, file.size),
    onTrouble: () => showTrouble(true),
    onRecovery: () => showTrouble(false),
  });
}

async function upload() {
  const file = find("file").files[0];
  const problem = await problemOf(file, kinds, maxBytes);
  markField(problem);
  if (problem) return;
  const inParts = canSendInParts && file.size > partBytes;
  running = { stop: new AbortController(), name: null };
  show("progress");
  showTrouble(false);
  showProgress(0, file.size);
  find("closing").textContent = inParts
    ? "You can close this page: choose the same file again by tomorrow, and the upload goes on."
    : "Do not close this page.";
  find("progress-title").focus();
  try {
    window.location.assign(await (inParts ? sendParts : sendWhole)(file, running.stop.signal));
  } catch (error) {
    if (error instanceof Cancelled) return;
    if (!(error instanceof UploadError)) throw error;
    showFailure(error, inParts);
  }
}

async function stop(name) {
  let problem = "";
  try {
    if (name) await cancel(name);
  } catch (error) {
    if (!(error instanceof UploadError)) throw error;
    problem = " What has arrived of it is removed within two days.";
  }
  show("upload");
  announce(`The upload is cancelled.${problem}`);
  find("file").focus();
}

form.noValidate = true;
form.addEventListener("submit", (event) => {
  event.preventDefault();
  upload();
});
// The file is still chosen: what has not arrived is sent again.
find("retry").addEventListener("click", upload);
find("cancel").addEventListener("click", () => {
  running.stop.abort(new Cancelled());
  stop(running.name);
});
find("forget").addEventListener("click", () => {
  const [latest] = unfinished(choice);
  stop(latest?.name);
});
showUnfinished();

// SPDX-License-Identifier: GPL-3.0-or-later
// Sends the file from the browser to S3 and shows how far it is. Without this script the form does the same, unseen.
import { formToken } from "/static/form_token.js";

const MEGABYTE = 1024 * 1024;
const find = (id) => document.getElementById(id);
const form = find("upload");

const REFUSALS = {
  AccessDenied: `The data store did not permit it. Try again; if it happens again, ask ${form.dataset.contact}.`,
  EntityTooLarge: `The file is larger than ${Math.floor(form.dataset.maxBytes / MEGABYTE)} MB.`,
  EntityTooSmall: "The file is empty.",
};

class UploadError extends Error {}

function show(...shown) {
  for (const part of ["summary", "failure", "upload", "progress"]) find(part).hidden = !shown.includes(part);
}

function checkFile(file) {
  if (!file) return "Select a file";
  if (file.size === 0) return "The selected file is empty";
  if (file.size > Number(form.dataset.maxBytes)) {
    return `The selected file must be no larger than ${Math.floor(form.dataset.maxBytes / MEGABYTE)} MB`;
  }
  return "";
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
    `${percent}% of ${(total / MEGABYTE).toFixed(1)} MB` + (sent < total ? "" : ". Waiting for the data store");
  // Read out at each quarter only, not at each of a hundred steps.
  const quarter = `${25 * Math.floor(percent / 25)}% uploaded`;
  if (find("announcement").textContent !== quarter) find("announcement").textContent = quarter;
}

function showFailure(message) {
  find("failure-text").textContent = message;
  find("announcement").textContent = "";
  show("failure", "upload");
  find("failure").focus();
}

async function startSubmission() {
  let answer;
  try {
    answer = await fetch("/submissions", {
      method: "POST",
      headers: { "Content-Type": "application/json", ...formToken() },
      body: JSON.stringify({ dataset: form.dataset.dataset, year: form.dataset.year }),
    });
  } catch {
    throw new UploadError("The connection was lost before the upload began. Check your network.");
  }
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new UploadError(body.error ?? `The service answered ${answer.status}.`);
  return body;
}

function refusal(request) {
  const code = /<Code>([A-Za-z0-9]+)<\/Code>/.exec(request.responseText)?.[1] ?? `status ${request.status}`;
  return REFUSALS[code] ?? `The data store refused it (${code}). Ask ${form.dataset.contact}.`;
}

function send(submission, file) {
  const body = new FormData();
  for (const [name, value] of Object.entries(submission.fields)) body.append(name, value);
  // The file's own name may tell of a person; it stays here.
  body.append("file", file, "upload.csv");
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.upload.addEventListener("progress", (event) => showProgress(event.loaded, event.total));
    request.addEventListener("load", () =>
      request.status === 201 ? resolve() : reject(new UploadError(refusal(request))),
    );
    request.addEventListener("error", () =>
      reject(
        new UploadError(
          "The connection was lost. Check your network. If you changed the file since you chose it, choose it again.",
        ),
      ),
    );
    request.open("POST", submission.url);
    request.send(body);
  });
}

async function upload() {
  const file = find("file").files[0];
  const problem = checkFile(file);
  markField(problem);
  if (problem) return;
  show("progress");
  showProgress(0, file.size);
  find("progress-title").focus();
  try {
    const submission = await startSubmission();
    await send(submission, file);
    window.location.assign(submission.follow);
  } catch (error) {
    if (!(error instanceof UploadError)) throw error;
    showFailure(error.message);
  }
}

form.noValidate = true;
form.addEventListener("submit", (event) => {
  event.preventDefault();
  upload();
});
// The file is still chosen: send it again, as a new submission.
find("retry").addEventListener("click", upload);

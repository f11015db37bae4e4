// SPDX-License-Identifier: GPL-3.0-or-later
// Asks for the state until it is another one, then shows the page anew, which tells of it.
const PAUSE_MILLISECONDS = 2000;
const line = document.getElementById("follow");
const waiting = line.textContent;

function say(text) {
  // A live region is read out when it changes, so it changes only when there is news.
  if (line.textContent !== text) line.textContent = text;
}

async function ask() {
  try {
    const answer = await fetch(line.dataset.status, { cache: "no-store" });
    if (!answer.ok) {
      say("The result cannot be read at the moment. Trying again.");
    } else if ((await answer.json()).state === line.dataset.state) {
      say(waiting);
    } else {
      say("There is news of your file.");
      window.location.reload();
      return;
    }
  } catch {
    say("The connection was lost. Trying again.");
  }
  window.setTimeout(ask, PAUSE_MILLISECONDS);
}

ask();

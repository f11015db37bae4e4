// SPDX-License-Identifier: GPL-3.0-or-later
// Asks how far the submission has come, shows each stage, and when its state is another one the page anew.
const PAUSE_MILLISECONDS = 2000;
const line = document.getElementById("follow");
const waiting = line.textContent;
const stages = [...document.querySelectorAll("#stages [data-stage]")];

function say(text) {
  // A live region is read out when it changes, so it changes only when there is news.
  if (line.textContent !== text) line.textContent = text;
}

// Words for whoever does not see the list: of the stage that is done last, and that there is more to come.
function progress(done) {
  const item = stages.find((stage) => stage.dataset.stage === done);
  const words = item?.querySelector(".govuk-task-list__name-and-hint").textContent;
  return words ? `Done: ${words}. ${waiting}` : waiting;
}

function showProgress(done) {
  const last = stages.findIndex((item) => item.dataset.stage === done);
  for (const [index, item] of stages.entries()) {
    const [word, colour] = index <= last ? ["Done", "green"] : done && index === last + 1 ? ["Now", "blue"] : ["To come", "grey"];
    const tag = item.querySelector(".govuk-tag");
    tag.textContent = word;
    tag.className = `govuk-tag govuk-tag--${colour}`;
  }
}

async function ask() {
  try {
    const answer = await fetch(line.dataset.status, { cache: "no-store" });
    if (!answer.ok) {
      say("The result cannot be read at the moment. Trying again.");
    } else {
      const { state, done } = await answer.json();
      if (state !== line.dataset.state) {
        say("There is news of your file.");
        window.location.reload();
        return;
      }
      say(progress(done));
      showProgress(done);
    }
  } catch {
    say("The connection was lost. Trying again.");
  }
  window.setTimeout(ask, PAUSE_MILLISECONDS);
}

ask();

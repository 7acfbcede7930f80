"use strict";
// Each finding is accepted or dismissed, by its buttons or by keys; what was decided is on the disk before it is shown.
const all = [...document.querySelectorAll(".finding")], failed = document.getElementById("error");

async function decide(finding, decision) {
  const {key, kind} = finding.dataset;
  failed.hidden = true;
  try {
    const response = await fetch("/api/decisions?" + new URLSearchParams({key, kind, decision}), {method: "POST"});
    const said = await response.text();
    if (!response.ok) {
      let why = said;
      try { why = JSON.parse(said).error ?? said; } catch { /* plain text */ }
      throw new Error(why);
    }
    finding.dataset.said = decision;
    for (const button of finding.querySelectorAll("button")) button.ariaPressed = String(button.dataset.decision === decision);
    for (const [name, count] of Object.entries(JSON.parse(said))) document.getElementById(name).textContent = count;
    return true;
  } catch (error) {
    failed.textContent = error instanceof TypeError ? "The program does not answer. Was it ended?" : error.message;
    failed.hidden = false;
    return false;
  }
}

function step(from, by) {
  const next = all[Math.min(all.length - 1, Math.max(0, all.indexOf(from) + by))];
  next?.focus();
}

const KEYS = {a: "accepted", d: "dismissed", u: ""}, STEPS = {ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1, j: 1, k: -1};
addEventListener("keydown", async event => {
  if (event.ctrlKey || event.metaKey || event.altKey || !all.length) return;
  const finding = document.activeElement.closest?.(".finding");
  if (event.key in STEPS) {
    event.preventDefault();
    step(finding, finding ? STEPS[event.key] : 1);
  } else if (finding && event.key.toLowerCase() in KEYS) {
    const decision = KEYS[event.key.toLowerCase()];
    if (await decide(finding, decision) && decision) step(finding, 1);
  }
});
for (const finding of all)
  for (const button of finding.querySelectorAll("button"))
    button.onclick = () => decide(finding, finding.dataset.said === button.dataset.decision ? "" : button.dataset.decision);

"use strict";
const $ = id => document.getElementById(id), count = number => number.toLocaleString("en");
const plural = (number, one) => `${count(number)} ${one}${number === 1 ? "" : "s"}`;
const percent = (share, sign = "") => `${sign && share > 0 ? "+" : ""}${(100 * share).toFixed(1)} %`;
const WHY = {typical: "typical of many others", doubtful: "the head is in doubt", random: "drawn at random: the head has answered in secret"};
const SKIP = "";
let now = null, busy = false, grid = [];

// ---- asking the server
async function ask(path, body) {
  const how = body === undefined ? {} : {method: "POST", headers: {"content-type": "application/json"}, body: JSON.stringify(body)};
  let answer;
  try {
    answer = await fetch(path, how);
  } catch {
    throw new Error("The program does not answer: it was stopped, or its window was closed. Start it again; every answer so far is kept.");
  }
  const kind = answer.headers.get("content-type") || "";
  const said = kind.includes("json") ? await answer.json() : {error: await answer.text()};
  if (!answer.ok) throw new Error(said.error);
  return said;
}

async function once(work) {
  if (busy) return;
  busy = true;
  try {
    await work();
    $("error").hidden = true;
  } catch (error) {
    $("error").textContent = error.message;
    $("error").hidden = false;
  } finally {
    busy = false;
  }
}

// ---- showing
function element(name, text = "", more = {}) {
  const made = document.createElement(name);
  made.textContent = text;
  for (const [key, value] of Object.entries(more)) made.setAttribute(key, value);
  return made;
}

function classButton(name, number, probability) {
  const button = element("button", "", {"data-label": name});
  const key = element("kbd", number < 9 ? number + 1 : "");
  key.hidden = number > 8;
  const shown = element("bdi", name), side = element("small", probability === undefined ? "" : `${Math.round(100 * probability)} %`, {class: "dim"});
  button.append(number > 8 ? element("span") : key, shown, side);
  if (probability !== undefined) {
    const bar = element("i");
    bar.style.width = `${100 * probability}%`;
    button.append(bar);
  }
  button.onclick = () => answer(name);
  const item = element("li");
  item.append(button);
  return item;
}

function show(state) {
  now = state;
  const question = state.question, names = Object.keys(state.classes), total = state.labels + state.skipped + state.left;
  $("progress").textContent = `${count(state.labels)} of ${plural(total, "picture")} labelled` +
    (state.skipped ? `, ${count(state.skipped)} skipped` : "");
  $("picture").hidden = !question;
  $("empty").hidden = !!question;
  $("skip").disabled = !question;
  $("undo").disabled = $("grid-undo").disabled = !state.undo;
  if (question) {
    $("picture").src = `/pictures/${question.key}?size=large`;
    $("picture").alt = `Picture ${question.name}`;
    $("name").textContent = question.name;
    $("why").textContent = `· ${WHY[question.drawn] || ""}`;
  } else {
    $("name").textContent = $("why").textContent = "";
    $("empty").textContent = state.labels ? "Every picture has its answer. Stop the program with Ctrl-C; it says what to do next." :
      "There is no picture without a label here.";
  }
  if (state.following) new Image().src = `/pictures/${state.following}?size=large`;
  const likely = new Map((question?.suggestions || []).map(each => [each.label, each.probability]));
  const best = question?.suggestions[0]?.label;
  $("classes").replaceChildren(...names.map((name, number) => classButton(name, number, likely.get(name))));
  for (const button of $("classes").querySelectorAll("button")) {
    button.classList.toggle("best", button.dataset.label === best);
    button.disabled = !question;
  }
  if (best) {
    const enter = element("kbd", "Enter");
    $("classes").querySelector(".best small").prepend(enter, " ");
  }
  $("choose").textContent = names.length ? "What is it?" : "Name the first class";
  tiles(state);
  choices(names, state.classes);
}

function tile(title, figure, small) {
  const made = element("div");
  const value = element("dd", figure);
  value.append(element("small", small, {class: "dim"}));
  made.append(element("dt", title), value);
  return made;
}

function tiles(state) {
  const known = state.accuracy !== null;
  const made = [tile("Accuracy", known ? percent(state.accuracy) : "–",
    known ? `${percent(state.accuracy_low)} to ${percent(state.accuracy_high)}, n = ${count(state.accuracy_n)}` : "not known before pictures were drawn at random")];
  made.push(tile(`The next ${state.next} labels`, state.gain === null ? "–" : percent(state.gain, "+"),
    state.gain === null ? "told after 20 pictures drawn at random" : `points of accuracy, probably ${percent(state.gain_low, "+")} to ${percent(state.gain_high, "+")}`));
  made.push(tile("Labels", count(state.labels), Object.entries(state.classes).map(([name, number]) => `${name}: ${count(number)}`).join(", ") || "none yet"));
  $("tiles").replaceChildren(...made);
}

// ---- one by one
function answer(label, kept = () => {}) {
  if (!now?.question) return;
  const key = now.question.key;
  return once(async () => {
    const state = await ask("/api/answer", {key, label});
    kept();
    show(state);
    $("said").textContent = !state.kept ? "Another window had answered that picture." :
      !label ? "Skipped." : !state.guessed ? `${label}.` :
      state.guessed === label ? `${label}. The head had said so, too.` : `${label}. The head had said ${state.guessed}.`;
  });
}

const undo = () => once(async () => {
  show(await ask("/api/undo", {}));
  $("said").textContent = now.kept ? "Taken back." : "There is nothing to take back.";
  if (!$("grid").hidden) await load();
});

$("new").onsubmit = event => {
  event.preventDefault();
  const name = $("class").value.trim();
  if (!name) return $("class").focus();
  answer(name, () => {
    $("class").value = "";
    $("class").blur();
  });
};
$("skip").onclick = () => answer(SKIP);
$("undo").onclick = $("grid-undo").onclick = undo;

document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey || $("ask").hidden) return;
  if (event.target.matches("input, select")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const names = Object.keys(now?.classes || {}), best = now?.question?.suggestions[0]?.label;
  const onButton = event.target.matches("button");
  if (/^[1-9]$/.test(event.key) && names[event.key - 1] !== undefined) answer(names[event.key - 1]);
  else if (event.key === "Enter" && best && !onButton) answer(best);
  else if (event.key === " " && !onButton) answer(SKIP);
  else if (event.key === "Backspace" || event.key === "u") undo();
  else if (event.key === "n" || event.key === "+") $("class").focus();
  else return;
  event.preventDefault();
});

// ---- many at once
function choices(names, counts) {
  const chosen = $("of").value;
  $("of").replaceChildren(...names.map(name => element("option", name, {value: name})));
  if (chosen in counts) $("of").value = chosen;
}

async function load() {
  const label = $("of").value;
  const found = label ? (await ask(`/api/grid?label=${encodeURIComponent(label)}`)).pictures : [];
  grid = found.map(each => ({...each, taken: true}));
  $("cells").replaceChildren(...grid.map(cell));
  told();
}

function cell(each) {
  const button = element("button", "", {"aria-pressed": "true", "aria-label": each.name}), picture = element("img", "", {alt: "", src: `/pictures/${each.key}`});
  button.append(picture);
  button.onclick = () => {
    each.taken = !each.taken;
    button.setAttribute("aria-pressed", each.taken);
    told();
  };
  const item = element("li");
  item.append(button);
  return item;
}

function told() {
  const taken = grid.filter(each => each.taken).length, label = $("of").value;
  $("accept").disabled = !taken;
  $("accept").textContent = taken ? `${plural(taken, "picture")}: ${label}` : "Accept";
  $("grid-says").textContent = grid.length ? `Click those that are not ${label}, then accept the rest. What is left out is asked about later.` :
    label ? `No picture looks like ${label} to the head. Label a few one by one first.` : "There is no class yet. Label a few pictures one by one first.";
}

$("of").onchange = () => once(load);
$("accept").onclick = () => once(async () => {
  const keys = grid.filter(each => each.taken).map(each => each.key);
  show(await ask("/api/accept", {label: $("of").value, keys}));
  await load();
});

for (const mode of ["one", "many"]) {
  $(mode).onclick = () => {
    $("one").setAttribute("aria-pressed", mode === "one");
    $("many").setAttribute("aria-pressed", mode === "many");
    $("ask").hidden = mode !== "one";
    $("grid").hidden = mode !== "many";
    $(mode).blur();
    if (mode === "many") once(load);
    else once(async () => show(await ask("/api/state")));
  };
}

once(async () => show(await ask("/api/state")));

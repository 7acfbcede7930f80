"use strict";
// Pictures that are dropped, pasted or chosen are asked about one after the other; a card each, the newest first.
const $ = id => document.getElementById(id);
const drop = $("drop"), cards = $("cards"), status = $("status"), progress = $("progress");
const AT_ONCE = 2, waiting = [], most = Number(drop.dataset.most);
let asked = 0, answered = 0, running = 0, ready = false;

const percent = p => p > 0.9995 ? "> 99.9 %" : p < 0.0005 ? "< 0.1 %" : (100 * p).toFixed(1) + " %";
const make = (tag, text = "", kind = "") => Object.assign(document.createElement(tag), {textContent: text, className: kind});

async function ask(address, options) {
  let response;
  try {
    response = await fetch(address, options);
  } catch {
    throw new Error("The program does not answer. Was it ended? Start it again and open its new address.");
  }
  const text = await response.text();
  if (!response.ok) {
    let said = text;
    try { said = JSON.parse(text).error ?? text; } catch { /* plain text */ }
    throw new Error(said);
  }
  return JSON.parse(text);
}

async function wait() {
  try {
    const now = await ask("/api/state");
    if (now.state === "failed") throw new Error(now.error);
    if (now.state === "loading") return setTimeout(wait, 300);
    ready = true;
    $("classes").replaceChildren(...now.classes.map(name => new Option(name)));
    note(now);
    tell();
    more();
  } catch (error) {
    status.textContent = error.message;
    status.classList.add("wrong");
  }
}

function note(now) {
  const changed = now.replaced ? ["the run has changed since: start the program again to use it as it is now"] : [];
  $("notes").replaceChildren(...[...now.notes, ...changed].map(text => make("li", text)));
  $("notes").hidden = !$("notes").children.length;
}

function tell() {
  const left = asked - answered;
  progress.hidden = asked < 2 || !left;
  progress.max = asked;
  progress.value = answered;
  status.textContent = left ? (ready ? `${answered} of ${asked} answered` : "The network is loading …")
    : answered ? "" : "Ready.";
}

function take(files) {
  const pictures = [...files];
  if (!pictures.length) return;
  if (asked === answered) asked = answered = 0;
  document.body.classList.add("some");
  for (const file of pictures) {
    const node = $("card").content.firstElementChild.cloneNode(true), card = node.firstElementChild;
    card.querySelector(".look p").textContent = file.name;
    card.querySelector("h2").textContent = "…";
    for (const part of [".near", ".correct", ".bars"]) card.querySelector(part).hidden = true;
    const image = card.querySelector("img");
    image.onerror = () => image.replaceWith(make("div", "no preview", "none"));
    image.src = URL.createObjectURL(file);
    image.onload = () => URL.revokeObjectURL(image.src);
    cards.prepend(node);
    waiting.push([file, card]);
  }
  asked += pictures.length;
  tell();
  more();
}

async function more() {
  while (ready && running < AT_ONCE && waiting.length) {
    const [file, card] = waiting.shift();
    running++;
    answer(file, card).finally(() => {
      running--;
      answered++;
      tell();
      if (answered === asked) ask("/api/state").then(note, () => {}); // what the run is by now
      more();
    });
  }
}

async function answer(file, card) {
  try {
    if (file.size > most) throw new Error(`It is larger than ${Math.round(most / 2 ** 20)} MiB. Try a smaller one.`);
    show(await ask("/api/predict", {method: "POST", body: file}), file, card);
  } catch (error) {
    card.classList.add("failed");
    card.querySelector("h2").textContent = file.name || "No answer";
    card.querySelector(".said").append(make("p", error.message));
  }
}

function show(found, file, card) {
  const [best] = found.classes, head = card.querySelector("h2");
  head.replaceChildren(make("bdi", best.label), " ", make("small", percent(best.probability), "dim"));
  card.querySelector("img")?.setAttribute("alt", file.name);
  card.querySelector(".unknown").hidden = !found.unknown;
  bars(card.querySelector(".bars"), found.classes);
  if (found.set) {
    const line = card.querySelector(".set"), level = Math.round(100 * found.level);
    line.hidden = false;
    line.replaceChildren(...found.set.length
      ? ["Set: ", make("b", found.set.join(", ")), `. Of 100 pictures like those it was trained on, ${level} have their class in theirs.`]
      : ["Set: ", make("b", "empty"), ", as no class is probable enough."]);
  }
  if (found.copies.length) {
    const line = card.querySelector(".copies"), one = found.copies[0];
    line.hidden = false;
    line.replaceChildren(make("b", "A near copy of this is in the training part"), `, labelled ${one.label}. So the answer says little about new pictures.`);
  }
  const near = card.querySelector(".near");
  near.hidden = !found.nearest.length;
  near.querySelector("ul").append(...found.nearest.map(each => neighbour(each, found.copies)));
  const form = card.querySelector("form");
  form.hidden = false;
  form.onsubmit = event => { event.preventDefault(); correct(form, file, best.label); };
}

function bars(table, classes) {
  table.hidden = false;
  for (const {label, probability} of classes) {
    const row = table.tBodies[0].insertRow(), name = document.createElement("th"), bar = make("span", "", "fill"), inner = make("span");
    name.scope = "row";
    name.append(make("bdi", label));
    row.append(name);
    inner.style.width = 100 * probability + "%";
    bar.append(inner);
    row.insertCell().append(bar);
    const cell = row.insertCell();
    cell.className = "r num";
    cell.textContent = percent(probability);
  }
}

function neighbour(each, copies) {
  const item = make("li"), link = make("a"), image = make("img", "", "p");
  image.alt = each.path;
  image.width = image.height = 112;
  image.onerror = () => image.replaceWith(Object.assign(make("span", "", "p gone"), {title: each.path}));
  image.src = "/pictures/" + each.key;
  link.href = image.src + "?size=large";
  link.target = "_blank"; // the answers stay
  link.append(image);
  item.append(link, make("bdi", each.label), make("small", ` ${(100 * each.similarity).toFixed(0)} % alike`));
  item.title = each.path;
  if (copies.some(other => other.key === each.key)) item.append(make("small", "near copy", "mark"));
  for (const {kind, why} of each.flags) item.append(Object.assign(make("span", `audit: ${kind}`, "flag"), {title: why}));
  return item;
}

async function correct(form, file, answer) {
  const label = form.elements.label.value.trim(), said = form.querySelector(".kept"), button = form.querySelector("button");
  button.disabled = true;
  try {
    const asked = new URLSearchParams({label, answer});
    const kept = await ask("/api/corrections?" + asked, {method: "POST", body: file});
    said.className = "kept right";
    said.textContent = `Kept as ${label}. ${kept.corrections} in ${kept.file}`;
    form.querySelector("details").open = false;
  } catch (error) {
    said.className = "kept wrong";
    said.textContent = error.message;
  }
  button.disabled = false;
}

$("files").onchange = event => { take(event.target.files); event.target.value = ""; };
addEventListener("paste", event => {
  if (event.clipboardData.files.length) { event.preventDefault(); take(event.clipboardData.files); }
});
addEventListener("dragover", event => { event.preventDefault(); drop.classList.add("over"); });
addEventListener("dragleave", event => { if (!event.relatedTarget) drop.classList.remove("over"); });
addEventListener("drop", event => {
  event.preventDefault();
  drop.classList.remove("over");
  take(event.dataTransfer.files);
});
cards.addEventListener("toggle", event => { if (event.target.open) event.target.querySelector("input").focus(); }, true);
wait();

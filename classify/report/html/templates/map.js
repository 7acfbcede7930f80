"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const {x, y, paths, facts, permille, sheet} = data, n = paths.length;
const $ = id => document.getElementById(id), canvas = $("canvas"), pen = canvas.getContext("2d");
const dark = matchMedia("(prefers-color-scheme: dark)"), count = number => number.toLocaleString("en");
const plural = number => `${count(number)} picture${number === 1 ? "" : "s"}`;

// ---- colours: of few values those that the colour-blind tell apart, of more a turn of the wheel each
const FEW = ["#3277b8", "#e69f00", "#1f9e73", "#d0559f", "#d55e00", "#56b4e9", "#8d6bc4", "#8c7a1f"];
const OWN = {right: "#8a949e", none: "#8a949e", wrong: "#d5392b"}, UNKNOWN = "#b6bdc4";
const colourOf = (fact, code) => code < 0 ? UNKNOWN :
  (fact.name === "verdict" || fact.name === "audit") && OWN[fact.values[code]] ||
  (fact.values.length <= FEW.length ? FEW[code] : `hsl(${(code * 137.508 + 210) % 360} ${code % 3 ? 62 : 45}% ${[46, 60, 38][code % 3]}%)`);

// ---- state
let fact = facts[0] ?? {name: "", title: "", values: [], code: paths.map(() => -1)};
let hidden = new Set(), chosen = new Set(), near = -1, order = [], colours = [], counts = [], drawing = false, line = null;
let scale = 1, offX = 0, offY = 0, width = 0, height = 0, asked = false, picturesOn = false;
const spanX = x.reduce((most, each) => Math.max(most, each), 1), spanY = y.reduce((most, each) => Math.max(most, each), 1);
const sprite = new Image();
if (sheet) {
  const probe = document.createElement("i");
  probe.className = "sheet";
  document.body.append(probe);
  sprite.src = getComputedStyle(probe).backgroundImage.slice(5, -2);
  probe.remove();
  sprite.onload = () => draw();
}

// ---- drawing
const dots = new Map();
function dot(colour, radius) {
  const key = colour + radius + dark.matches;
  if (!dots.has(key)) {
    const ratio = devicePixelRatio, made = document.createElement("canvas"), side = Math.ceil((radius + 1) * 2 * ratio);
    made.width = made.height = side;
    const own = made.getContext("2d");
    own.scale(ratio, ratio);
    own.arc(side / ratio / 2, side / ratio / 2, radius, 0, 7);
    own.fillStyle = colour;
    own.fill();
    own.lineWidth = 1;
    own.strokeStyle = dark.matches ? "rgb(25 28 31 / .7)" : "rgb(255 255 255 / .7)";
    own.stroke();
    dots.set(key, made);
  }
  return dots.get(key);
}
const screenX = i => x[i] * scale + offX, screenY = i => y[i] * scale + offY;
const visible = i => !hidden.has(fact.code[i]);
function draw() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => {
    asked = false;
    const ratio = devicePixelRatio;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    const zoom = scale / home(), small = Math.min(1, Math.max(.6, Math.min(width, height) / 650));
    const radius = Math.min(9, Math.max(1.6, (6 - Math.log10(n) * .8) * small) * Math.min(zoom, 9) ** .4);
    const inside = order.filter(i => {
      const a = screenX(i), b = screenY(i);
      return a > -50 && b > -50 && a < width + 50 && b < height + 50;
    });
    const put = (i, alpha, size) => {
      const made = dot(colours[fact.code[i] + 1], size), side = made.width / ratio;
      pen.globalAlpha = alpha;
      pen.drawImage(made, screenX(i) - side / 2, screenY(i) - side / 2, side, side);
    };
    for (const i of inside) if (!visible(i)) put(i, .1, radius * .7);
    for (const i of inside) if (visible(i) && !chosen.has(i)) put(i, chosen.size ? .3 : .92, radius);
    for (const i of inside) if (visible(i) && chosen.has(i)) put(i, 1, radius * 1.25);
    pen.globalAlpha = 1;
    if (picturesOn && sprite.complete) tiles(inside);
    if (near >= 0) {
      pen.beginPath();
      pen.arc(screenX(near), screenY(near), radius + 4, 0, 7);
      pen.lineWidth = 2;
      pen.strokeStyle = getComputedStyle(canvas).color;
      pen.stroke();
    }
    if (line) {
      pen.beginPath();
      line.forEach(([a, b]) => pen.lineTo(a, b));
      pen.closePath();
      pen.fillStyle = "rgb(50 119 184 / .14)";
      pen.fill();
      pen.setLineDash([5, 4]);
      pen.lineWidth = 1.5;
      pen.strokeStyle = "#3277b8";
      pen.stroke();
      pen.setLineDash([]);
    }
  });
}
// A picture wherever there is room for one: those drawn first keep their places, so that moving changes little.
function tiles(inside) {
  const side = Math.min(64, Math.max(34, sheet.side * .75)), taken = new Set(), cell = side + 5;
  for (const i of inside) {
    if (!visible(i)) continue;
    const a = screenX(i), b = screenY(i), key = (across, down) => across + "/" + down;
    const cx = Math.floor((a - offX % cell) / cell), cy = Math.floor((b - offY % cell) / cell);
    if (taken.has(key(cx, cy))) continue;
    taken.add(key(cx, cy));
    const px = cx * cell + offX % cell, py = cy * cell + offY % cell;
    pen.globalAlpha = chosen.size && !chosen.has(i) ? .35 : 1;
    pen.fillStyle = colours[fact.code[i] + 1];
    pen.fillRect(px, py, side + 3, side + 3);
    const column = i % sheet.columns, row = Math.floor(i / sheet.columns);
    pen.drawImage(sprite, column * sheet.side, row * sheet.side, sheet.side, sheet.side, px + 1.5, py + 1.5, side, side);
  }
  pen.globalAlpha = 1;
}

// ---- the view
const home = () => Math.min((width - 60) / spanX, (height - 100) / spanY);
function fit() {
  scale = home();
  offX = (width - spanX * scale) / 2;
  offY = (height - spanY * scale) / 2 + 20;
  draw();
}
function zoom(factor, a = width / 2, b = height / 2) {
  const before = scale;
  scale = Math.min(home() * 60, Math.max(home() * .7, scale * factor));
  offX = a - (a - offX) * scale / before;
  offY = b - (b - offY) * scale / before;
  draw();
}
new ResizeObserver(() => {
  const first = !width, before = [width, height];
  width = $("stage").clientWidth;
  height = $("stage").clientHeight;
  canvas.width = width * devicePixelRatio;
  canvas.height = height * devicePixelRatio;
  if (first) fit();
  offX += (width - before[0]) / 2 * !first;
  offY += (height - before[1]) / 2 * !first;
  draw();
}).observe($("stage"));
dark.addEventListener("change", draw);

// ---- what is under the pointer
function nearest(a, b, reach = 14) {
  let best = -1, least = reach * reach;
  for (let i = 0; i < n; i++) {
    const distance = (screenX(i) - a) ** 2 + (screenY(i) - b) ** 2;
    if (distance < least && visible(i)) [best, least] = [i, distance];
  }
  return best;
}
function element(tag, text, kind) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}
function picture(i) {
  const made = element("span", undefined, "sheet"), rows = Math.ceil(n / sheet.columns);
  const share = (at, all) => all > 1 ? at / (all - 1) * 100 : 0;
  made.style.backgroundPosition =
    `${share(i % sheet.columns, sheet.columns)}% ${share(Math.floor(i / sheet.columns), rows)}%`;
  return made;
}
const value = (fact, i) => fact.code[i] < 0 ? "" : fact.values[fact.code[i]];
function point(i) {
  canvas.classList.toggle("over", i >= 0);
  if (i === near) return;
  near = i;
  const card = $("card");
  card.hidden = i < 0;
  card.replaceChildren();
  if (i >= 0) {
    if (sheet) card.append(picture(i));
    const name = element("b");
    name.append(element("bdi", paths[i].split("/").pop()));
    card.append(name);
    for (const each of facts) {
      const text = value(each, i);
      if (!text || each.name === "verdict" || text === "none") continue;
      const said = element("span");
      said.append(element("span", each.title + ": ", "dim"), element("bdi", text));
      said.firstChild.style.display = "inline";
      if (each.name === "answer" && permille && permille[i] >= 0) said.append(` ${(permille[i] / 10).toFixed(1)}%`);
      card.append(said);
    }
    const a = screenX(i), b = screenY(i), high = card.offsetHeight, wide = card.offsetWidth;
    card.style.left = `${Math.max(4, a + 18 + wide > width ? a - 18 - wide : a + 18)}px`;
    card.style.top = `${Math.max(4, Math.min(height - high - 4, b - high / 2))}px`;
  }
  draw();
}

// ---- pointers: one moves, draws or points, two zoom
const down = new Map();
let from = null, moved = 0, touched = false;
const at = event => { const box = canvas.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
canvas.onpointerdown = event => {
  if (event.button) return;
  canvas.setPointerCapture(event.pointerId);
  down.set(event.pointerId, at(event));
  moved = 0;
  touched = event.pointerType === "touch";
  line = (drawing || event.shiftKey) && down.size === 1 ? [at(event)] : null;
};
canvas.onpointermove = event => {
  const now = at(event), before = down.get(event.pointerId);
  if (!before) {
    if (event.pointerType !== "touch") point(nearest(...now));
    return;
  }
  const other = [...down].find(([id]) => id !== event.pointerId)?.[1];
  moved += Math.hypot(now[0] - before[0], now[1] - before[1]);
  if (other) {
    const wide = to => Math.max(10, Math.hypot(to[0] - other[0], to[1] - other[1]));
    offX += (now[0] - before[0]) / 2;
    offY += (now[1] - before[1]) / 2;
    zoom(wide(now) / wide(before), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
  } else if (line) line.push(now);
  else [offX, offY] = [offX + now[0] - before[0], offY + now[1] - before[1]];
  if (moved > 4) point(-1);
  down.set(event.pointerId, now);
  draw();
};
canvas.onpointerup = canvas.onpointercancel = event => {
  if (!down.delete(event.pointerId)) return;
  if (line && moved > 8) around(line, event.ctrlKey || event.metaKey);
  else if (moved <= 4 && event.type === "pointerup") {
    const hit = nearest(...at(event), touched ? 24 : 14);
    point(hit);
    if (hit >= 0 && !touched) toggle(hit);
  }
  line = null;
  draw();
};
canvas.onpointerleave = event => { if (event.pointerType !== "touch") point(-1); };
canvas.onwheel = event => {
  event.preventDefault();
  point(-1);
  zoom(1.0016 ** -(event.deltaY * (event.deltaMode ? 20 : 1)), ...at(event));
};
canvas.ondblclick = event => zoom(2, ...at(event));

// ---- selection
function around(line, more) {
  const inside = (a, b) => {
    let odd = false;
    for (let i = 0, j = line.length - 1; i < line.length; j = i++) {
      const [[ax, ay], [bx, by]] = [line[i], line[j]];
      if (ay > b !== by > b && a < (bx - ax) * (b - ay) / (by - ay) + ax) odd = !odd;
    }
    return odd;
  };
  if (!more) chosen = new Set();
  for (let i = 0; i < n; i++) if (visible(i) && inside(screenX(i), screenY(i))) chosen.add(i);
  tell();
}
function toggle(i) {
  if (!chosen.delete(i)) chosen.add(i);
  tell();
}
const SHOWN = 300;
function tell() {
  $("empty").hidden = chosen.size > 0;
  $("some").hidden = !chosen.size;
  $("count").textContent = `${plural(chosen.size)} selected`;
  const of = counts.map(() => 0);
  for (const i of chosen) of[fact.code[i] + 1]++;
  const most = of.map((_, place) => place).filter(place => of[place]).sort((a, b) => of[b] - of[a]).slice(0, 6);
  $("kinds").replaceChildren(...most.map(place => {
    const item = element("span", `${count(of[place])} `);
    item.style.setProperty("--own", colours[place]);
    item.append(element("bdi", place ? fact.values[place - 1] : "not known"));
    return item;
  }));
  const list = $("found");
  list.classList.toggle("names", !sheet);
  list.replaceChildren();
  for (const i of [...chosen].slice(0, SHOWN)) {
    const item = element("li"), button = sheet ? element("button") : element("button", paths[i], "file");
    button.type = "button";
    button.title = paths[i];
    button.setAttribute("aria-label", paths[i]);
    button.style.setProperty("--own", colours[fact.code[i] + 1]);
    if (sheet) button.append(picture(i));
    button.onclick = () => { centre(i); point(i); };
    button.onfocus = button.onpointerenter = () => point(i);
    item.append(button);
    list.append(item);
  }
  if (chosen.size > SHOWN) list.append(element("li", `... and ${count(chosen.size - SHOWN)} more: all are in the CSV`, "more"));
  draw();
}
function centre(i) {
  const a = screenX(i), b = screenY(i);
  if (a > 30 && b > 60 && a < width - 30 && b < height - 30) return;
  offX += width / 2 - a;
  offY += height / 2 - b;
  draw();
}
// As the tables of coldframe: no cell that a spreadsheet would run, and `extract` takes the apostrophe away again.
const cell = text => {
  const safe = /^'*[=+\-@\t\r]/.test(text) ? "'" + text : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
};
function csv() {
  const head = ["path", ...facts.map(each => each.name), ...(permille ? ["probability"] : [])];
  const rows = [...chosen].sort((a, b) => a - b).map(i => [paths[i], ...facts.map(each => value(each, i)),
    ...(permille ? [permille[i] < 0 ? "" : String(permille[i] / 1000)] : [])].map(cell));
  return [head, ...rows].map(row => row.join(",") + "\n").join("");
}
$("save").onclick = () => {
  const link = element("a");
  link.href = URL.createObjectURL(new Blob([csv()], {type: "text/csv"}));
  link.download = `${data.dataset.replace(/[^\p{L}\p{N}._-]+/gu, "-")}-selection.csv`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
};
$("clear").onclick = () => { chosen = new Set(); tell(); };

// ---- legend
const LISTED = 200;
function paint() {
  colours = [UNKNOWN, ...fact.values.map((_, code) => colourOf(fact, code))];
  counts = colours.map(() => 0);
  for (const code of fact.code) counts[code + 1]++;
  // Rare values above frequent ones; among those that are about as frequent nobody is always on offY.
  const rank = counts.map(each => -Math.round(Math.log2(each + 1) / 2));
  const mixed = i => Math.imul(i + 1, 2654435761) >>> 0;
  order = paths.map((_, i) => i).sort((a, b) => rank[fact.code[a] + 1] - rank[fact.code[b] + 1] || mixed(a) - mixed(b));
  for (const button of $("by").children) button.setAttribute("aria-checked", String(button.fact === fact));
  for (const button of $("by").children) button.tabIndex = button.fact === fact ? 0 : -1;
  $("search").hidden = fact.values.length <= 12;
  $("search").value = "";
  list();
  tell();
}
function list() {
  const wanted = $("search").value.trim().toLowerCase(), legend = $("legend");
  const codes = counts.map((_, place) => place - 1).filter(code => counts[code + 1] &&
    (code < 0 ? "not known" : fact.values[code]).toLowerCase().includes(wanted));
  if (fact.values.length > 40) codes.sort((a, b) => counts[b + 1] - counts[a + 1]);
  const unknown = codes.indexOf(-1);
  if (unknown >= 0) codes.push(...codes.splice(unknown, 1));
  legend.replaceChildren();
  for (const code of codes.slice(0, LISTED)) {
    const item = element("li"), button = element("button"), only = element("button", "only", "only");
    button.type = only.type = "button";
    button.style.setProperty("--own", colours[code + 1]);
    button.append(element("i"), element("bdi", code < 0 ? "not known" : fact.values[code]), element("small", count(counts[code + 1])));
    button.title = code < 0 ? "not known" : fact.values[code];
    button.setAttribute("aria-pressed", String(!hidden.has(code)));
    only.setAttribute("aria-label", `only ${button.title}`);
    button.onclick = () => { if (!hidden.delete(code)) hidden.add(code); filter(); };
    only.onclick = () => { hidden = new Set(counts.map((_, place) => place - 1).filter(each => each !== code)); filter(); };
    button.code = code;
    item.append(button, only);
    legend.append(item);
  }
  if (codes.length > LISTED) legend.append(element("li", `... and ${count(codes.length - LISTED)} more: search for them`, "dim"));
  shown();
}
function filter() {
  for (const item of $("legend").children) item.firstChild.setAttribute?.("aria-pressed", String(!hidden.has(item.firstChild.code)));
  if (near >= 0 && !visible(near)) point(-1);
  chosen = new Set([...chosen].filter(visible));
  shown();
  tell();
}
function shown() {
  let number = 0;
  for (const code of fact.code) number += !hidden.has(code);
  $("all").hidden = number === n;
  $("shown").textContent = number === n ? `${plural(n)} shown` : `${count(number)} of ${plural(n)} shown`;
}
$("all").onclick = () => { hidden = new Set(); filter(); };
$("search").oninput = list;
for (const each of facts) {
  const button = element("button", each.title);
  button.type = "button";
  button.fact = each;
  button.setAttribute("role", "radio");
  button.onclick = () => { fact = each; hidden = new Set(); paint(); };
  button.onkeydown = event => {
    const step = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1}[event.key];
    if (!step) return;
    event.preventDefault();
    const next = $("by").children[(facts.indexOf(each) + step + facts.length) % facts.length];
    next.click();
    next.focus();
  };
  $("by").append(button);
}

// ---- buttons and keys
function mode(lasso) {
  drawing = lasso;
  canvas.classList.toggle("drawing", lasso);
  $("lasso").setAttribute("aria-pressed", String(lasso));
  $("move").setAttribute("aria-pressed", String(!lasso));
}
function pictures() {
  if (!sheet) return;
  picturesOn = !picturesOn;
  $("pictures").setAttribute("aria-pressed", String(picturesOn));
  draw();
}
function step(across, along) {
  const [a, b] = near < 0 ? [width / 2, height / 2] : [screenX(near), screenY(near)];
  let best = -1, least = Infinity;
  for (let i = 0; i < n; i++) {
    if (i === near || !visible(i)) continue;
    const dx = screenX(i) - a, dy = screenY(i) - b, ahead = dx * across + dy * along, aside = Math.abs(dx * along - dy * across);
    if (near >= 0 && (ahead <= 0 || aside > ahead)) continue;
    const far = Math.hypot(dx, dy) + aside;
    if (far < least) [best, least] = [i, far];
  }
  if (best < 0) return;
  centre(best);
  point(best);
}
const KEYS = {
  ArrowLeft: () => step(-1, 0), ArrowRight: () => step(1, 0), ArrowUp: () => step(0, -1), ArrowDown: () => step(0, 1),
  "+": () => zoom(1.4), "=": () => zoom(1.4), "-": () => zoom(1 / 1.4), 0: fit, l: () => mode(!drawing), p: pictures,
  Enter: () => near >= 0 && toggle(near), " ": () => near >= 0 && toggle(near),
  Escape: () => { chosen = new Set(); point(-1); tell(); },
  a: () => {
    chosen = new Set(order.filter(i => visible(i) && screenX(i) >= 0 && screenY(i) >= 0 && screenX(i) <= width && screenY(i) <= height));
    tell();
  },
};
canvas.onkeydown = event => {
  const action = !event.ctrlKey && !event.metaKey && !event.altKey && KEYS[event.key];
  if (!action) return;
  event.preventDefault();
  action();
};
$("move").onclick = () => mode(false);
$("lasso").onclick = () => mode(true);
if (sheet) $("pictures").onclick = pictures;
$("in").onclick = () => zoom(1.4);
$("out").onclick = () => zoom(1 / 1.4);
$("fit").onclick = fit;
$("unseen").hidden = true;
$("map").hidden = false;
paint();

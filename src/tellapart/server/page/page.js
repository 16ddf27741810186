"use strict";

const AT_ONCE = 3; // requests of this page that run together: a server's queue is for everyone
const SHOWN = 5; // classes that are seen at once; the rest unfolds
const RETRIES = 4; // where the server is busy and says when to come again
const HEAT_PX = 448; // of a heat map's longer side: its own 7 cells are drawn soft
const DECIDES = 0.02; // a fall of the probability below this is no part's doing
const SPEAKS_FOR = [230, 97, 0]; // orange and blue are told apart by nearly everyone
const SPEAKS_AGAINST = [20, 100, 255];

const byId = (id) => document.getElementById(id);
const waiting = []; // cards whose pictures are still to be sent
let running = 0;
let key = sessionStorage.getItem("key") || "";
let asked = 0;
let answered = 0;

const headers = () => (key ? { Authorization: `Bearer ${key}` } : {});
const sleep = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));
// Characters that hide or turn text would let a file's name disguise itself.
const shown = (text) => text.replace(/[\p{Cc}\p{Cs}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu, "\ufffd");

async function loadModels() {
  const response = await fetch("v1/models", { headers: headers() }).catch(() => null);
  if (response?.status === 401) return askForKey();
  if (!response?.ok) return say("The server does not answer. Is it running?");
  const { models } = await response.json();
  byId("key-form").hidden = true;
  byId("model").replaceChildren(...models.map((one) => new Option(one.name)));
  byId("model-row").hidden = models.length < 2;
  const tell = () => tellClasses(models.find((one) => one.name === byId("model").value) || models[0]);
  byId("model").onchange = tell;
  tell();
}

function tellClasses(model) {
  const names = model.classes.slice(0, 12).map(shown).join(", ");
  const more = model.classes.length > 12 ? ` and ${model.classes.length - 12} more` : "";
  byId("classes").textContent = `${shown(model.name)} tells apart ${names}${more}.`;
}

function askForKey() {
  byId("key-form").hidden = false;
  byId("key").focus();
  say(key ? "The server does not know this key." : "");
}

function say(text) {
  byId("status").textContent = text;
}

function add(files) {
  for (const file of files) {
    const card = byId("card").content.firstElementChild.cloneNode(true);
    const name = shown(file.name || "pasted picture");
    for (const place of card.querySelectorAll(".file, .no-preview bdi")) place.textContent = name;
    show(file, card.querySelector("img"));
    card.querySelector(".again").onclick = () => enqueue(file, card);
    card.querySelector(".why").onclick = () => why(file, card);
    byId("cards").prepend(card);
    enqueue(file, card);
  }
  byId("answers").hidden = byId("cards").childElementCount === 0;
}

function show(file, img) {
  const url = URL.createObjectURL(file);
  img.onload = () => { img.hidden = false; };
  img.onerror = () => URL.revokeObjectURL(url);
  img.src = url;
}

function enqueue(file, card) {
  card.className = "card waiting";
  card.dataset.model = byId("model").value;
  card.querySelector(".why").hidden = true;
  card.querySelector(".again").hidden = true;
  card.querySelector(".label").textContent = "Looking …";
  asked += 1;
  waiting.push({ file, card });
  next();
}

function next() {
  while (running < AT_ONCE && waiting.length) {
    running += 1;
    const { file, card } = waiting.shift();
    ask(file, { model: card.dataset.model })
      .then((row) => fill(card, row), (error) => fail(card, error.message, true))
      .finally(() => { running -= 1; answered += 1; tellProgress(); next(); });
  }
  tellProgress();
}

function tellProgress() {
  const left = asked - answered;
  say(left ? `Looking at ${left} of ${asked} …` : asked === 1 ? "1 picture answered." : asked ? `${asked} pictures answered.` : "");
}

async function ask(file, options) {
  const form = new FormData();
  form.append("file", file, file.name || "picture");
  for (const [name, value] of Object.entries(options)) form.append(name, value);
  for (let attempt = 0; ; attempt += 1) {
    const response = await fetch("v1/predict", { method: "POST", body: form, headers: headers() }).catch(() => null);
    if (!response) throw new Error("The server does not answer.");
    if (response.status === 401) askForKey();
    const isBusy = response.status === 429 || response.status === 503;
    if (isBusy && attempt < RETRIES) {
      await sleep(Number(response.headers.get("Retry-After")) || 1);
      continue;
    }
    const body = await response.json().catch(() => ({}));
    if (body.results) return body.results[0];
    throw new Error(body.error?.text || `The server answered ${response.status}.`);
  }
}

function fail(card, text, mayTryAgain) {
  card.className = "card failed";
  card.querySelector(".label").textContent = shown(text);
  card.querySelector(".again").hidden = !mayTryAgain;
}

function fill(card, row) {
  if (row.error) return fail(card, `Not read: ${row.error}`, false);
  card.className = row.unknown ? "card unknown" : "card";
  const label = shown((row.labels?.length ? row.labels : [row.label]).join(", ")) || "None of the labels";
  card.querySelector(".label").textContent = row.unknown ? `Unknown (nearest: ${label})` : label;
  card.querySelector(".why").hidden = false;
  card.querySelector(".stranger").hidden = !row.unknown;
  const ordered = Object.entries(row.probabilities).sort((one, other) => other[1] - one[1]);
  const [first, rest] = card.querySelectorAll(".bars");
  first.replaceChildren(...ordered.slice(0, SHOWN).map(bar));
  rest.replaceChildren(...ordered.slice(SHOWN).map(bar));
  const fold = card.querySelector(".rest");
  fold.hidden = ordered.length <= SHOWN;
  fold.querySelector("summary").textContent = `${ordered.length - SHOWN} more`;
}

// The heat map: asked for when it is first wanted, then shown and hidden.
async function why(file, card) {
  const [button, heat, where] = [".why", ".heat", ".where"].map((name) => card.querySelector(name));
  if (heat.dataset.said === undefined) {
    if (button.getAttribute("aria-busy")) return;
    button.setAttribute("aria-busy", "true");
    where.textContent = "Hiding one part after the other …";
    const row = await ask(file, { model: card.dataset.model, explain: true }).catch((error) => ({ error: error.message }));
    button.removeAttribute("aria-busy");
    if (!row.explanation) {
      where.textContent = shown(row.error);
      return;
    }
    drawHeat(heat, card.querySelector("img"), row.explanation);
    heat.dataset.said = inWords(row.explanation, row.probabilities);
    heat.hidden = true;
  }
  heat.hidden = !heat.hidden;
  button.setAttribute("aria-pressed", String(!heat.hidden));
  where.textContent = heat.hidden ? "" : heat.dataset.said;
}

function drawHeat(heat, img, { rows, columns, drops, box }) {
  const most = Math.max(0.1, ...drops.flat().map(Math.abs)); // where little changes, little is coloured
  const small = Object.assign(document.createElement("canvas"), { width: columns, height: rows });
  const pixels = new ImageData(columns, rows);
  drops.flat().forEach((drop, place) => {
    const colour = drop > 0 ? SPEAKS_FOR : SPEAKS_AGAINST;
    pixels.data.set([...colour, (200 * Math.abs(drop)) / most], 4 * place);
  });
  small.getContext("2d").putImageData(pixels, 0, 0);
  const [width, height] = img.hidden ? [1, 1] : [img.naturalWidth, img.naturalHeight];
  const [left, top, right, bottom] = img.hidden ? [0, 0, 1, 1] : box;
  const scale = HEAT_PX / Math.max(width, height);
  heat.width = Math.max(1, Math.round(width * scale));
  heat.height = Math.max(1, Math.round(height * scale));
  const context = heat.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(small, left * heat.width, top * heat.height, (right - left) * heat.width, (bottom - top) * heat.height);
}

function inWords({ label, columns, rows, drops }, probabilities) {
  const flat = drops.flat();
  const most = Math.max(...flat);
  if (most < DECIDES) return `No part alone decides: with any of them hidden, ${shown(label)} falls by less than ${DECIDES * 100} points.`;
  const place = flat.indexOf(most);
  const third = (number, count) => Math.floor((3 * (number + 0.5)) / count);
  const down = ["top", "middle", "bottom"][third(Math.floor(place / columns), rows)];
  const across = ["left", "middle", "right"][third(place % columns, columns)];
  const named = down === across ? "middle" : [down, across].filter((word) => word !== "middle").join(" ");
  const from = probabilities[label];
  const shares = [from, from - most].map((share) => `${(100 * Math.max(0, share)).toFixed(1)} %`);
  return `The ${named} matters most: with it hidden, ${shown(label)} falls from ${shares[0]} to ${shares[1]}. Orange speaks for it, blue against it.`;
}

function bar([name, probability]) {
  const item = byId("bar").content.firstElementChild.cloneNode(true);
  item.querySelector(".name").textContent = shown(name);
  item.querySelector(".name").title = shown(name);
  item.querySelector(".fill").style.width = `${probability * 100}%`;
  item.querySelector(".share").textContent = `${(probability * 100).toFixed(1)} %`;
  return item;
}

function clear() {
  for (const img of byId("cards").querySelectorAll("img")) URL.revokeObjectURL(img.src);
  waiting.length = 0;
  asked = running;
  answered = 0;
  byId("cards").replaceChildren();
  byId("answers").hidden = true;
  tellProgress();
  byId("files").focus();
}

// Phones count HEIC among the pictures; an iPhone sends it as JPEG unless it is asked for by name.
if (matchMedia("(pointer: coarse)").matches) byId("files").accept = "image/*";
for (const id of ["files", "camera"]) {
  byId(id).addEventListener("change", (event) => {
    add([...event.target.files]);
    event.target.value = ""; // so that the same file can be chosen again
  });
}
byId("clear").addEventListener("click", clear);
byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  key = byId("key").value;
  sessionStorage.setItem("key", key);
  loadModels();
});

// The whole page takes drops: a picture that misses the box must not replace the page.
const drop = byId("drop");
addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
addEventListener("dragleave", (event) => { if (!event.relatedTarget) drop.classList.remove("over"); });
addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  add([...event.dataTransfer.files]);
});
addEventListener("paste", (event) => {
  if (event.target.id !== "key") add([...event.clipboardData.files]);
});

loadModels();

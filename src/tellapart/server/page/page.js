"use strict";

const AT_ONCE = 3; // requests of this page that run together: a server's queue is for everyone
const SHOWN = 5; // classes that are seen at once; the rest unfolds
const RETRIES = 4; // where the server is busy and says when to come again

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
    card.querySelector(".file").textContent = shown(file.name || "pasted picture");
    show(file, card.querySelector("img"));
    card.querySelector(".again").onclick = () => enqueue(file, card);
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
    ask(file)
      .then((row) => fill(card, row), (error) => fail(card, error.message, true))
      .finally(() => { running -= 1; answered += 1; tellProgress(); next(); });
  }
  tellProgress();
}

function tellProgress() {
  const left = asked - answered;
  say(left ? `Looking at ${left} of ${asked} …` : asked === 1 ? "1 picture answered." : asked ? `${asked} pictures answered.` : "");
}

async function ask(file) {
  const form = new FormData();
  form.append("file", file, file.name || "picture");
  form.append("model", byId("model").value);
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
  card.querySelector(".label").textContent = row.unknown ? `Unknown (nearest: ${shown(row.label)})` : shown(row.label);
  card.querySelector(".stranger").hidden = !row.unknown;
  const ordered = Object.entries(row.probabilities).sort((one, other) => other[1] - one[1]);
  const [first, rest] = card.querySelectorAll(".bars");
  first.replaceChildren(...ordered.slice(0, SHOWN).map(bar));
  rest.replaceChildren(...ordered.slice(SHOWN).map(bar));
  const fold = card.querySelector(".rest");
  fold.hidden = ordered.length <= SHOWN;
  fold.querySelector("summary").textContent = `${ordered.length - SHOWN} more`;
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

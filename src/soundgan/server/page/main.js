// The page: what is on its pads, and what happens when a user does something.

import { PADS, read, write } from "./address.js";
import { Api } from "./api.js";
import { Pad } from "./pad.js";
import { Player } from "./player.js";
import { Sounds } from "./sounds.js";
import { zip } from "./zip.js";

const SEEDS = 1_000_000; // of new sounds; the server takes any below 2³², but these are easier to tell one another
const SETTLED = 250; // ms in which a slider is not moved any more

const $ = (id) => document.getElementById(id);
const controls = $("controls").elements;
const api = new Api(askToken, () => say("The server is busy; it is asked again."));
const player = new Player();
const sounds = new Sounds(api, player);
const pads = Array.from({ length: PADS }, (_, i) => new Pad(i + 1, {
  play: () => play(i),
  stop: () => player.stop(i),
  lock: () => lock(i),
}));

let models = [];
let state = null; // {model, label, truncation, pads: [{seed, locked, model, label, truncation}]}; null: no models yet
const shown = pads.map(() => null); // what the pads show and play: {pad, sound}, with what was asked for
let leaving = new AbortController(); // aborts what is no longer wanted
let settling; // timer of the slider
let pointed = false; // whether the last thing that a user did was done by mouse or finger

$("pads").append(...pads.map((pad) => pad.element));
listen();
start();

async function start() {
  try {
    models = await api.models();
  } catch (error) {
    return say(error.message);
  }
  controls.model.replaceChildren(...models.map(({ name }) => new Option(name)));
  controls.link.hidden = !navigator.clipboard;
  restore();
}

function listen() {
  for (const list of [controls.model, controls.label]) {
    list.addEventListener("change", () => {
      change();
      if (pointed) list.blur(); // so that the next digit plays a pad, and does not choose a label
    });
  }
  controls.truncation.addEventListener("input", showTruncation);
  controls.truncation.addEventListener("change", () => {
    clearTimeout(settling); // it moves on, and only where it stops is it worth a look
    settling = setTimeout(change, SETTLED);
  });
  controls.save.addEventListener("click", saveAll);
  controls.link.addEventListener("click", copyLink);
  $("controls").addEventListener("submit", (event) => {
    event.preventDefault();
    renew();
  });
  addEventListener("pointerdown", () => (pointed = true), true);
  addEventListener("keydown", () => (pointed = false), true);
  addEventListener("keydown", onKey);
  addEventListener("popstate", () => state && restore()); // going back, and another address typed in
}

/** Take the state from the address. */
async function restore() {
  const fresh = { model: models[0].name, label: null, truncation: 1 };
  const unlocked = pads.map(() => ({ seed: newSeed(), locked: false }));
  const found = read(location.hash, models, { ...fresh, pads: unlocked });
  state = found.state;
  showControls();
  const missing = found.unknown.join(", ");
  if (!missing) history.replaceState(null, "", write(state)); // otherwise the link stays as it is, for another server
  if (await showPads() && missing) say(`Here is no ${missing}: these are other sounds.`);
}

/** The controls were changed: the same seeds, made otherwise, on all pads that are not locked. */
function change() {
  clearTimeout(settling);
  if (!state) return;
  const label = controls.label.value || null;
  const model = models.find(({ name }) => name === controls.model.value);
  const truncation = Number(controls.truncation.value);
  const asked = { model: model.name, label: model.labels.includes(label) ? label : null, truncation };
  makeAnew(asked, ({ seed }) => seed, (count, sounds) => `${count} ${sounds} made anew.`);
}

/** New sounds on all pads that are not locked. */
function renew() {
  if (state) makeAnew({}, newSeed, (count, sounds) => `${count} new ${sounds}.`);
  else start();
}

async function makeAnew(asked, seed, told) {
  state = { ...state, ...asked };
  const { model, label, truncation } = state;
  state.pads = state.pads.map((pad) => (pad.locked ? pad : { seed: seed(pad), locked: false, model, label, truncation }));
  history.pushState(null, "", write(state));
  showControls();
  const count = state.pads.filter(({ locked }) => !locked).length;
  if (!count) return say("All pads are locked.");
  if (await showPads()) say(told(count, noun(count)));
}

/** Lock what a pad shows, also while another sound is on its way to it; or unlock it. */
function lock(i) {
  if (!shown[i]) return;
  const pad = { ...shown[i].pad, locked: !state.pads[i].locked };
  state.pads[i] = shown[i].pad = pad;
  pads[i].settle();
  pads[i].showLock(pad.locked);
  say(`Pad ${i + 1} ${pad.locked ? "locked" : "unlocked"}.`);
  history.replaceState(null, "", write(state));
}

function play(i) {
  if (!shown[i]) return;
  player.play(i, shown[i].sound.buffer);
  pads[i].sweep();
}

function onKey(event) {
  const typing = event.target.closest("input:not([type=range]), select, dialog");
  if (typing || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const digit = /^(?:Digit|Numpad)([1-8])$/.exec(event.code);
  if (digit) {
    event.preventDefault();
    (event.shiftKey ? lock : play)(digit[1] - 1);
  } else if (event.key === "n" || event.key === "N") renew();
}

/** Get and show the sounds of all pads; whether all came, and are still wanted. */
async function showPads() {
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const errors = await Promise.all(state.pads.map((pad, i) => showPad(pad, i, signal)));
  if (signal.aborted) return false;
  const error = errors.find(Boolean);
  if (error) history.replaceState(null, "", write(state));
  say(error?.message ?? "");
  return !error;
}

/** Get and show the sound of one pad; the error, if none came. What the pad showed before then stays. */
async function showPad(pad, i, signal) {
  const wanted = () => !signal.aborted && state.pads[i] === pad;
  pads[i].wait();
  try {
    const sound = await sounds.get(pad, signal);
    if (!wanted()) return null;
    shown[i] = { pad, sound };
    pads[i].show(pad, sound);
    return null;
  } catch (error) {
    if (!wanted()) return null;
    if (shown[i]) state.pads[i] = shown[i].pad;
    pads[i].fail();
    return error;
  }
}

function saveAll() {
  const files = shown.filter(Boolean).map(({ sound }) => sound);
  if (!files.length) return;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(zip(files));
  link.download = "sounds.zip";
  link.click();
  say(`${files.length} ${noun(files.length)} saved as ${link.download}.`);
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // once it is surely saved
}

async function copyLink() {
  history.replaceState(null, "", write(state)); // not that of a link to what is not here
  await navigator.clipboard.writeText(location.href);
  say("Link copied: it brings these sounds back.");
}

function showControls() {
  const model = models.find(({ name }) => name === state.model);
  controls.model.value = state.model;
  const labels = model.labels.map((label) => new Option(label));
  controls.label.replaceChildren(new Option("any", ""), ...labels);
  controls.label.value = state.label ?? "";
  controls.label.disabled = !labels.length;
  controls.truncation.value = state.truncation;
  showTruncation();
  $("about").textContent = `New sounds of ${model.duration.toFixed(2)} s at ${model.sample_rate / 1000} kHz, never recorded.`;
  const heard = new Set([model.name, ...state.pads.map((pad) => pad.model)]);
  $("license").textContent = models.filter(({ name }) => heard.has(name)).map(credit).filter(Boolean).join(". ");
}

function credit({ name, license, attribution }) {
  return [license && `${name}: trained on data under ${license}`, attribution].filter(Boolean).join(", ");
}

function showTruncation() {
  $("controls").querySelector(".value").textContent = controls.truncation.value;
}

function askToken(wrong) {
  const dialog = $("token");
  $("asks").textContent = wrong ? "That is not the token of this server." : "This server asks for a token.";
  dialog.returnValue = ""; // which stays if it is closed with Escape
  dialog.showModal();
  const field = dialog.querySelector("[name=token]");
  field.select();
  const entered = () => (dialog.returnValue ? field.value : "");
  return new Promise((done) => dialog.addEventListener("close", () => done(entered()), { once: true }));
}

function say(text) {
  $("status").textContent = text;
}

function noun(count) {
  return count === 1 ? "sound" : "sounds";
}

function newSeed() {
  return Math.floor(Math.random() * SEEDS);
}

// State of the page, and reactions to the user.

import { PADS, read, write } from "./address.js";
import { Api } from "./api.js";
import { Pad } from "./pad.js";
import { Player } from "./player.js";
import { Sounds } from "./sounds.js";
import { zip } from "./zip.js";

const SEEDS = 1_000_000; // of new sounds; the server accepts any below 2³², but short seeds are easier to share
const SLIDER_DELAY = 250; // ms after the last move of a slider

const $ = (id) => document.getElementById(id);
const controls = $("controls").elements;
const api = new Api(promptToken, () => say("The server is busy; trying again."));
const player = new Player();
const sounds = new Sounds(api, player);
const pads = Array.from({ length: PADS }, (_, i) => new Pad(i + 1, {
  play: () => play(i),
  stop: () => player.stop(i),
  lock: () => lock(i),
}));

let models = [];
let state = null; // {model, label, truncation, pads: [{seed, locked, model, label, truncation}]}; null before the models are loaded
const loaded = pads.map(() => null); // sounds of the pads, with their settings: {pad, sound}
let loading = new AbortController(); // aborts outdated requests
let sliderTimer;
let usesPointer = false; // true if the last input came from a mouse or finger

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
      if (usesPointer) list.blur(); // the next digit plays a pad instead of choosing a label
    });
  }
  controls.truncation.addEventListener("input", showTruncation);
  controls.truncation.addEventListener("change", () => {
    clearTimeout(sliderTimer);
    sliderTimer = setTimeout(change, SLIDER_DELAY);
  });
  controls.save.addEventListener("click", saveAll);
  controls.link.addEventListener("click", copyLink);
  $("controls").addEventListener("submit", (event) => {
    event.preventDefault();
    renew();
  });
  addEventListener("pointerdown", () => (usesPointer = true), true);
  addEventListener("keydown", () => (usesPointer = false), true);
  addEventListener("keydown", onKey);
  addEventListener("popstate", () => state && restore()); // going back, or editing the address
}

/** Read the state from the address. */
async function restore() {
  const fresh = { model: models[0].name, label: null, truncation: 1 };
  const unlocked = pads.map(() => ({ seed: newSeed(), locked: false }));
  const parsed = read(location.hash, models, { ...fresh, pads: unlocked });
  state = parsed.state;
  showControls();
  const unknown = parsed.unknown.join(", ");
  if (!unknown) history.replaceState(null, "", write(state)); // otherwise the link is kept, for another server
  if (await showPads() && unknown) say(`Not on this server: ${unknown}. Other sounds are loaded.`);
}

/** Apply changed controls to the seeds of all unlocked pads. */
function change() {
  clearTimeout(sliderTimer);
  if (!state) return;
  const label = controls.label.value || null;
  const model = models.find(({ name }) => name === controls.model.value);
  const truncation = Number(controls.truncation.value);
  const settings = { model: model.name, label: model.labels.includes(label) ? label : null, truncation };
  update(settings, ({ seed }) => seed, (count, sounds) => `${count} ${sounds} updated.`);
}

/** Generate new sounds on all unlocked pads. */
function renew() {
  if (state) update({}, newSeed, (count, sounds) => `${count} new ${sounds}.`);
  else start();
}

async function update(settings, seed, message) {
  state = { ...state, ...settings };
  const { model, label, truncation } = state;
  state.pads = state.pads.map((pad) => (pad.locked ? pad : { seed: seed(pad), locked: false, model, label, truncation }));
  history.pushState(null, "", write(state));
  showControls();
  const count = state.pads.filter(({ locked }) => !locked).length;
  if (!count) return say("All pads are locked.");
  if (await showPads()) say(message(count, noun(count)));
}

/** Lock the sound of a pad, even while another one is loading; or unlock it. */
function lock(i) {
  if (!loaded[i]) return;
  const pad = { ...loaded[i].pad, locked: !state.pads[i].locked };
  state.pads[i] = loaded[i].pad = pad;
  pads[i].settle();
  pads[i].showLock(pad.locked);
  say(`Pad ${i + 1} ${pad.locked ? "locked" : "unlocked"}.`);
  history.replaceState(null, "", write(state));
}

function play(i) {
  if (!loaded[i]) return;
  player.play(i, loaded[i].sound.buffer);
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

/** Load the sounds of all pads; true if all succeeded and are not outdated. */
async function showPads() {
  loading.abort();
  loading = new AbortController();
  const { signal } = loading;
  const errors = await Promise.all(state.pads.map((pad, i) => showPad(pad, i, signal)));
  if (signal.aborted) return false;
  const error = errors.find(Boolean);
  if (error) history.replaceState(null, "", write(state));
  say(error?.message ?? "");
  return !error;
}

/** Load the sound of a pad; returns the error, if any, and then the previous sound stays. */
async function showPad(pad, i, signal) {
  const current = () => !signal.aborted && state.pads[i] === pad;
  pads[i].wait();
  try {
    const sound = await sounds.get(pad, signal);
    if (!current()) return null;
    loaded[i] = { pad, sound };
    pads[i].show(pad, sound, models.find(({ name }) => name === pad.model).duration);
    return null;
  } catch (error) {
    if (!current()) return null;
    if (loaded[i]) state.pads[i] = loaded[i].pad;
    pads[i].fail();
    return error;
  }
}

function saveAll() {
  const files = loaded.filter(Boolean).map(({ sound }) => sound);
  if (!files.length) return;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(zip(files));
  link.download = "sounds.zip";
  link.click();
  say(`${files.length} ${noun(files.length)} saved as ${link.download}.`);
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // after the download
}

async function copyLink() {
  history.replaceState(null, "", write(state)); // replaces a link with unknown values
  await navigator.clipboard.writeText(location.href);
  say("Link copied: it opens these sounds again.");
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
  $("about").textContent = `Generated sounds of up to ${model.duration.toFixed(2)} s at ${model.sample_rate / 1000} kHz.`;
  const used = new Set([model.name, ...state.pads.map((pad) => pad.model)]);
  $("license").textContent = models.filter(({ name }) => used.has(name)).map(credit).filter(Boolean).join(". ");
}

function credit({ name, license, attribution }) {
  return [license && `${name}: trained on data under ${license}`, attribution].filter(Boolean).join(", ");
}

function showTruncation() {
  $("controls").querySelector(".value").textContent = controls.truncation.value;
}

function promptToken(invalid) {
  const dialog = $("token");
  $("token-message").textContent = invalid ? "This is not the token of this server." : "This server requires a token.";
  dialog.returnValue = ""; // also after closing with Escape
  dialog.showModal();
  const field = dialog.querySelector("[name=token]");
  field.select();
  const entered = () => (dialog.returnValue ? field.value : "");
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(entered()), { once: true }));
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

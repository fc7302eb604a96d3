// The page: what is on its pads, and what happens when a user does something.

import { PADS, read, write } from "./address.js";
import { Api } from "./api.js";
import { Pad } from "./pad.js";
import { Player } from "./player.js";
import { zip } from "./zip.js";

const KEPT = 256; // sounds kept, so that going back is instant
const SEEDS = 1_000_000; // of new sounds; the server takes any below 2³², but these are easier to tell one another

const $ = (id) => document.getElementById(id);
const controls = $("controls").elements;
const api = new Api(askToken);
const player = new Player();
const sounds = new Map(); // what a pad asks for, as text → its sound, decoded
const pads = Array.from({ length: PADS }, (_, i) => new Pad(i + 1, {
  play: () => play(i),
  stop: () => player.stop(i),
  lock: () => lock(i),
}));

let models = [];
let state; // {model, label, truncation, pads: [{seed, locked, model, label, truncation}]}
const shown = pads.map(() => null); // the sounds that the pads play
let leaving = new AbortController(); // aborts what is no longer wanted

$("pads").append(...pads.map((pad) => pad.element));
start();

async function start() {
  try {
    models = await api.models();
  } catch (error) {
    return say(error.message);
  }
  controls.model.replaceChildren(...models.map(({ name }) => new Option(name)));
  controls.link.hidden = !navigator.clipboard;
  listen();
  restore();
}

function listen() {
  controls.model.addEventListener("change", change);
  controls.label.addEventListener("change", change);
  controls.truncation.addEventListener("change", change);
  controls.truncation.addEventListener("input", showTruncation);
  controls.save.addEventListener("click", saveAll);
  controls.link.addEventListener("click", copyLink);
  $("controls").addEventListener("submit", (event) => {
    event.preventDefault();
    renew();
  });
  addEventListener("keydown", onKey);
  addEventListener("popstate", restore); // going back, and another fragment typed into the address
}

/** Take the state from the address. */
function restore() {
  const { name } = models[0];
  const fresh = { model: name, label: null, truncation: 1 };
  const unlocked = pads.map(() => ({ seed: newSeed(), locked: false }));
  state = read(location.hash, models, { ...fresh, pads: unlocked });
  history.replaceState(null, "", write(state));
  showControls();
  return showPads();
}

/** The controls were changed: the same seeds, made otherwise, on all pads that are not locked. */
function change() {
  const label = controls.label.value || null;
  const model = models.find(({ name }) => name === controls.model.value);
  setAll({ model: model.name, label: model.labels.includes(label) ? label : null, truncation: Number(controls.truncation.value) });
}

/** New sounds on all pads that are not locked. */
function renew() {
  const open = state.pads.filter((pad) => !pad.locked);
  if (!open.length) return say("All pads are locked.");
  setAll({}, newSeed);
}

async function setAll(asked, seed = (pad) => pad.seed) {
  state = { ...state, ...asked };
  const { model, label, truncation } = state;
  state.pads = state.pads.map((pad) => (pad.locked ? pad : { seed: seed(pad), locked: false, model, label, truncation }));
  history.pushState(null, "", write(state));
  showControls();
  const count = state.pads.filter((pad) => !pad.locked).length;
  if (await showPads()) say(count === 1 ? "1 new sound." : `${count} new sounds.`);
}

function lock(i) {
  const pad = state.pads[i];
  pad.locked = !pad.locked;
  pads[i].showLock(pad.locked);
  say(`Pad ${i + 1} ${pad.locked ? "locked" : "unlocked"}.`);
  history.replaceState(null, "", write(state));
}

function play(i) {
  if (!shown[i]) return;
  player.play(i, shown[i].buffer);
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
  const errors = await Promise.all(state.pads.map(async (pad, i) => {
    pads[i].wait();
    try {
      const sound = await decoded(pad, signal);
      if (signal.aborted) return null;
      shown[i] = sound;
      pads[i].show(pad, sound);
      return null;
    } catch (error) {
      if (!signal.aborted) pads[i].fail();
      return error;
    }
  }));
  if (signal.aborted) return false;
  const error = errors.find(Boolean);
  say(error?.message ?? "");
  return !error;
}

/** The sound of a pad, ready to play; from those kept, if it is there. */
async function decoded(pad, signal) {
  const key = JSON.stringify([pad.model, pad.label, pad.truncation, pad.seed]);
  if (!sounds.has(key)) {
    const sound = await api.sound(pad, signal);
    sounds.set(key, { ...sound, buffer: await player.decode(sound.file, sound.sample_rate) });
    if (sounds.size > KEPT) sounds.delete(sounds.keys().next().value);
  }
  return sounds.get(key);
}

function saveAll() {
  const files = shown.filter(Boolean);
  if (!files.length) return;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(zip(files));
  link.download = "sounds.zip";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // once it is surely saved
}

async function copyLink() {
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
  $("licence").textContent = [model.licence && `${model.name}: trained on data under ${model.licence}`, model.attribution].filter(Boolean).join(", ");
}

function showTruncation() {
  $("controls").querySelector(".value").textContent = controls.truncation.value;
}

function askToken() {
  const dialog = $("token");
  dialog.showModal();
  const field = dialog.querySelector("[name=token]");
  dialog.returnValue = ""; // which stays if it is closed with Escape
  const entered = () => (dialog.returnValue ? field.value : "");
  return new Promise((done) => dialog.addEventListener("close", () => done(entered()), { once: true }));
}

function say(text) {
  $("status").textContent = text;
}

function newSeed() {
  return Math.floor(Math.random() * SEEDS);
}

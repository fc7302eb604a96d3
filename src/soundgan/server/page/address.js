// What is on the page, as the fragment of its address, and back:
//   #model=digits&label=3&truncation=0.8&pad=7&pad=8,locked&pad=9,locked,model=drums,label=kick
// A pad says only in what it differs from the controls.

export const PADS = 8;

/** The fragment of a state `{model, label, truncation, pads}`; a label of null is any. */
export function write({ model, label, truncation, pads }) {
  const controls = { model, label: label ?? "", truncation };
  const parts = Object.entries(controls).map(([key, value]) => `${key}=${encodeURIComponent(value)}`);
  for (const pad of pads) {
    const own = { model: pad.model, label: pad.label ?? "", truncation: pad.truncation };
    const differs = Object.keys(own).filter((key) => own[key] !== controls[key]);
    const told = differs.map((key) => `,${key}=${encodeURIComponent(own[key])}`).join("");
    parts.push(`pad=${pad.seed}${pad.locked ? ",locked" : ""}${told}`);
  }
  return `#${parts.join("&")}`;
}

/**
 * The state in a fragment, and what is `unknown` of it: what these models have not, and numbers that cannot be. What is
 * missing or unknown is as `fresh` has it.
 */
export function read(fragment, models, fresh) {
  const unknown = new Set();
  const pairs = fragment.replace(/^#/, "").split("&").map((part) => split(part, "="));
  const told = Object.fromEntries(pairs.filter(([key]) => key !== "pad").map(decoded));
  const controls = checked(told, models, fresh, unknown);
  const texts = pairs.filter(([key]) => key === "pad").map(([, text]) => text);
  const pads = fresh.pads.map((pad, i) => readPad(texts[i] ?? "", models, controls, unknown) ?? { ...pad, ...controls });
  return { state: { ...controls, pads }, unknown: [...unknown] };
}

function readPad(text, models, controls, unknown) {
  const [seed, ...rest] = text.split(",");
  if (!/^\d{1,10}$/.test(seed) || Number(seed) >= 2 ** 32) {
    if (seed) unknown.add(`seed ${seed}`);
    return null;
  }
  const own = Object.fromEntries(rest.map((part) => decoded(split(part, "="))));
  return { seed: Number(seed), locked: rest.includes("locked"), ...checked(own, models, controls, unknown) };
}

/** Model, label and truncation, each as told or else as in `otherwise`. */
function checked(told, models, otherwise, unknown) {
  const named = models.find(({ name }) => name === told.model);
  const model = named ?? models.find(({ name }) => name === otherwise.model);
  if (told.model && !named) unknown.add(`model ${told.model}`);
  else if (told.label && !model.labels.includes(told.label)) unknown.add(`label ${told.label} of ${model.name}`);
  const label = [told.label, otherwise.label].find((one) => one === "" || one === null || model.labels.includes(one));
  const number = told.truncation?.trim() ? Number(told.truncation) : NaN;
  const possible = number >= 0 && number <= 2;
  if (told.truncation && !possible) unknown.add(`truncation ${told.truncation}`);
  const truncation = possible ? number : otherwise.truncation;
  return { model: model.name, label: label || null, truncation };
}

function split(text, at) {
  const place = text.indexOf(at);
  return place < 0 ? [text, ""] : [text.slice(0, place), text.slice(place + 1)];
}

function decoded([key, value]) {
  try {
    return [key, decodeURIComponent(value)];
  } catch {
    return [key, undefined]; // cut in the middle of a letter
  }
}

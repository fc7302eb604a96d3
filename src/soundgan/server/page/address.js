// Conversion between the state of the page and the fragment of its address:
//   #model=digits&label=3&truncation=0.8&pad=7&pad=8,locked&pad=9,locked,model=drums,label=kick
// A pad lists only its differences from the controls.

export const PADS = 8;

/** Fragment of a state `{model, label, truncation, pads}`; a label of null means any. */
export function write({ model, label, truncation, pads }) {
  const controls = { model, label: label ?? "", truncation };
  const parts = Object.entries(controls).map(([key, value]) => `${key}=${encodeURIComponent(value)}`);
  for (const pad of pads) {
    const own = { model: pad.model, label: pad.label ?? "", truncation: pad.truncation };
    const differs = Object.keys(own).filter((key) => own[key] !== controls[key]);
    const values = differs.map((key) => `,${key}=${encodeURIComponent(own[key])}`).join("");
    parts.push(`pad=${pad.seed}${pad.locked ? ",locked" : ""}${values}`);
  }
  return `#${parts.join("&")}`;
}

/**
 * State of a fragment, and its `unknown` values: models and labels that the server does not have, and invalid numbers.
 * Missing and unknown values are taken from `fresh`.
 */
export function read(fragment, models, fresh) {
  const unknown = new Set();
  const pairs = fragment.replace(/^#/, "").split("&").map((part) => split(part, "="));
  const values = Object.fromEntries(pairs.filter(([key]) => key !== "pad").map(decoded));
  const controls = checked(values, models, fresh, unknown);
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

/** Model, label and truncation of `values` where valid, otherwise of `defaults`. */
function checked(values, models, defaults, unknown) {
  const named = models.find(({ name }) => name === values.model);
  const model = named ?? models.find(({ name }) => name === defaults.model);
  if (values.model && !named) unknown.add(`model ${values.model}`);
  else if (values.label && !model.labels.includes(values.label)) unknown.add(`label ${values.label} of ${model.name}`);
  const label = [values.label, defaults.label].find((value) => value === "" || value === null || model.labels.includes(value));
  const number = values.truncation?.trim() ? Number(values.truncation) : NaN;
  const valid = number >= 0 && number <= 2;
  if (values.truncation && !valid) unknown.add(`truncation ${values.truncation}`);
  const truncation = valid ? number : defaults.truncation;
  return { model: model.name, label: label || null, truncation };
}

function split(text, at) {
  const index = text.indexOf(at);
  return index < 0 ? [text, ""] : [text.slice(0, index), text.slice(index + 1)];
}

function decoded([key, value]) {
  try {
    return [key, decodeURIComponent(value)];
  } catch {
    return [key, undefined]; // truncated percent-encoding
  }
}

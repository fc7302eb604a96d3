// One pad as it is seen: spectrogram, label, seed, lock. What it does is told to it.

export class Pad {
  /**
   * @param {number} key the digit that plays it
   * @param {{play: () => void, stop: () => void, lock: () => void}} does what a user may do with it
   */
  constructor(key, does) {
    this.key = key;
    this.element = document.getElementById("pad").content.firstElementChild.cloneNode(true);
    const part = (name) => this.element.querySelector(name);
    [this.button, this.image, this.head] = [part(".play"), part("img"), part(".head")];
    [this.name, this.seed, this.lock, this.save] = [part(".name"), part(".seed"), part(".lock"), part(".save")];
    part("kbd").textContent = key;
    this.button.setAttribute("aria-keyshortcuts", key);
    this.lock.setAttribute("aria-keyshortcuts", `Shift+${key}`);
    this.lock.addEventListener("click", does.lock);
    whenPressed(this.button, does);
  }

  /** A sound is on its way. */
  wait() {
    this.element.ariaBusy = "true";
    delete this.element.dataset.failed;
  }

  /** What was on its way does not come, or is not wanted any more. */
  settle() {
    this.element.ariaBusy = "false";
    delete this.element.dataset.failed;
  }

  /** Show what was asked for and what came. */
  show({ locked, model, truncation }, { label, seed, spectrogram, duration, name, file }) {
    this.settle();
    this.duration = duration;
    this.image.src = spectrogram;
    this.name.textContent = label ?? model;
    this.seed.textContent = `seed ${seed}`;
    this.button.ariaLabel = `Play pad ${this.key}: ${label ?? model}, seed ${seed}`;
    this.button.title = `${model}, truncation ${truncation}`;
    this.save.ariaLabel = this.save.title = `Save ${name}`;
    this.save.download = name;
    URL.revokeObjectURL(this.save.href);
    this.save.href = URL.createObjectURL(new Blob([file], { type: "audio/wav" }));
    this.showLock(locked);
  }

  showLock(locked) {
    this.lock.ariaPressed = String(locked);
    this.lock.ariaLabel = this.lock.title = `Lock pad ${this.key}`;
    this.element.classList.toggle("locked", locked);
  }

  /** No sound came; the one before stays. */
  fail() {
    this.element.ariaBusy = "false";
    this.element.dataset.failed = "";
  }

  /** Move the playhead once across the spectrogram. */
  sweep() {
    this.head.getAnimations().forEach((one) => one.cancel());
    this.head.animate([{ left: "0", opacity: 1 }, { left: "100%", opacity: 1 }], 1000 * this.duration);
    this.button.animate([{ filter: "brightness(1.35)" }, { filter: "none" }], 250);
  }
}

/** Call `play` when a finger, a mouse or a key goes down, not when it comes up. */
function whenPressed(button, { play, stop }) {
  let pressed = false;
  button.addEventListener("pointerdown", ({ button: which, pointerType }) => {
    // Browsers stay silent until a user has clicked, or has lifted the finger from a first touch.
    const heard = pointerType === "mouse" || navigator.userActivation?.hasBeenActive;
    pressed = which === 0 && Boolean(heard);
    if (pressed) play();
  });
  button.addEventListener("pointercancel", () => {
    pressed = false; // the finger scrolls the page
    stop();
  });
  button.addEventListener("click", ({ detail }) => {
    if (detail === 0 || !pressed) play(); // keys and screen readers only click
    pressed = false;
  });
}

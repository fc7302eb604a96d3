// View of a pad: spectrogram, label, seed, lock. Its actions are given to it.

export class Pad {
  /**
   * @param {number} key digit of its keyboard shortcut
   * @param {{play: () => void, stop: () => void, lock: () => void}} actions of the user
   */
  constructor(key, actions) {
    this.key = key;
    this.element = document.getElementById("pad").content.firstElementChild.cloneNode(true);
    const part = (name) => this.element.querySelector(name);
    [this.button, this.image, this.head] = [part(".play"), part("img"), part(".head")];
    [this.name, this.seed, this.lock, this.save] = [part(".name"), part(".seed"), part(".lock"), part(".save")];
    part("kbd").textContent = key;
    this.button.setAttribute("aria-keyshortcuts", key);
    this.lock.setAttribute("aria-keyshortcuts", `Shift+${key}`);
    this.lock.addEventListener("click", actions.lock);
    onPress(this.button, actions);
  }

  /** Show that a sound is loading. */
  wait() {
    this.element.ariaBusy = "true";
    delete this.element.dataset.failed;
  }

  /** Show that nothing is loading. */
  settle() {
    this.element.ariaBusy = "false";
    delete this.element.dataset.failed;
  }

  /** Show a requested sound and its settings; its spectrogram lasts for `seconds`, with silence behind a shorter sound. */
  show({ locked, model, truncation }, { label, seed, spectrogram, duration, name, file }, seconds) {
    this.settle();
    this.duration = duration;
    this.end = `${(100 * duration) / seconds}%`;
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

  /** Show that loading failed; the previous sound stays. */
  fail() {
    this.element.ariaBusy = "false";
    this.element.dataset.failed = "";
  }

  /** Move the playhead once across the spectrogram, up to the end of the sound. */
  sweep() {
    this.head.getAnimations().forEach((animation) => animation.cancel());
    this.head.animate([{ left: "0", opacity: 1 }, { left: this.end, opacity: 1 }], 1000 * this.duration);
    this.button.animate([{ filter: "brightness(1.35)" }, { filter: "none" }], 250);
  }
}

/** Call `play` when a finger, a mouse button or a key is pressed, not when it is released. */
function onPress(button, { play, stop }) {
  let pressed = false;
  button.addEventListener("pointerdown", ({ button: number, pointerType }) => {
    // Browsers allow no audio before a first click, or the end of a first touch.
    const audible = pointerType === "mouse" || navigator.userActivation?.hasBeenActive;
    pressed = number === 0 && Boolean(audible);
    if (pressed) play();
  });
  button.addEventListener("pointercancel", () => {
    pressed = false; // the finger scrolls the page
    stop();
  });
  button.addEventListener("click", ({ detail }) => {
    if (detail === 0 || !pressed) play(); // keys and screen readers send only a click
    pressed = false;
  });
}

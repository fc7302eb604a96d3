// The sounds of pads, ready to play; the last ones are kept, so that going back is instant.

const KEPT = 300; // s of sound: at 44.1 kHz a second takes 0.3 MB

export class Sounds {
  /**
   * @param {import("./api.js").Api} api makes them
   * @param {import("./player.js").Player} player decodes them
   */
  constructor(api, player) {
    this.api = api;
    this.player = player;
    this.kept = new Map(); // what a pad asks for, as text → its sound; the oldest first
    this.seconds = 0;
  }

  /** What `api.sound` gives, and its `buffer`. */
  async get(pad, signal) {
    const key = JSON.stringify([pad.model, pad.label, pad.truncation, pad.seed]);
    if (!this.kept.has(key)) {
      const sound = await this.api.sound(pad, signal);
      const buffer = await this.player.decode(sound.file, sound.sampleRate);
      this.keep(key, { ...sound, buffer });
    }
    return this.kept.get(key);
  }

  keep(key, sound) {
    this.seconds += sound.duration - (this.kept.get(key)?.duration ?? 0);
    this.kept.set(key, sound);
    for (const [oldest, { duration }] of this.kept) {
      if (this.seconds <= KEPT || oldest === key) break;
      this.kept.delete(oldest);
      this.seconds -= duration;
    }
  }
}

// Cache of decoded sounds: going back in the history is instant.

const MAX_SECONDS = 300; // of audio; at 44.1 kHz a second takes 0.3 MB

export class Sounds {
  /**
   * @param {import("./api.js").Api} api generates them
   * @param {import("./player.js").Player} player decodes them
   */
  constructor(api, player) {
    this.api = api;
    this.player = player;
    this.cache = new Map(); // settings of a pad, as text → its sound; the oldest first
    this.seconds = 0;
  }

  /** Sound of `api.sound`, with its `buffer`. */
  async get(pad, signal) {
    const key = JSON.stringify([pad.model, pad.label, pad.truncation, pad.seed]);
    if (!this.cache.has(key)) {
      const sound = await this.api.sound(pad, signal);
      const buffer = await this.player.decode(sound.file, sound.sampleRate);
      this.store(key, { ...sound, buffer });
    }
    return this.cache.get(key);
  }

  store(key, sound) {
    this.seconds += sound.duration - (this.cache.get(key)?.duration ?? 0);
    this.cache.set(key, sound);
    for (const [oldest, { duration }] of this.cache) {
      if (this.seconds <= MAX_SECONDS || oldest === key) break;
      this.cache.delete(oldest);
      this.seconds -= duration;
    }
  }
}

// Plays sounds that were decoded ahead, so that nothing but the loudspeaker stands between a key and its sound.

const FADE = 0.005; // s: a sound that is broken off does not click

export class Player {
  constructor() {
    // Made ahead, as it takes longer than a sound may wait. It stays silent until the user has touched the page.
    this.context = new AudioContext({ latencyHint: "interactive" });
    this.playing = new Map();
  }

  /** The AudioBuffer of a sound file, at the rate of the file where browsers can. */
  decode(file, sampleRate) {
    const rate = Math.min(Math.max(sampleRate, 8000), 96000); // what every browser must take
    return new OfflineAudioContext(1, 1, rate).decodeAudioData(file.slice().buffer);
  }

  /** Play at once. What the same `voice` still plays is broken off; other voices go on. */
  play(voice, buffer) {
    if (this.context.state !== "running") this.context.resume();
    this.stop(voice);
    const [source, gain] = [new AudioBufferSourceNode(this.context, { buffer }), new GainNode(this.context)];
    source.connect(gain).connect(this.context.destination);
    source.onended = () => this.playing.get(voice)?.source === source && this.playing.delete(voice);
    this.playing.set(voice, { source, gain });
    source.start();
  }

  /** Break off what a voice plays. */
  stop(voice) {
    const { source, gain } = this.playing.get(voice) ?? {};
    if (!source) return;
    const end = this.context.currentTime + FADE;
    gain.gain.setValueAtTime(1, this.context.currentTime);
    gain.gain.linearRampToValueAtTime(0, end);
    source.stop(end);
    this.playing.delete(voice);
  }
}

// Audio player of decoded sounds, which start without delay.

const FADE = 0.005; // s; avoids a click when a sound is stopped

export class Player {
  constructor() {
    // Created early, since it takes longer than a sound may wait. It is suspended until the user's first gesture.
    this.context = new AudioContext({ latencyHint: "interactive" });
    this.playing = new Map();
  }

  /** AudioBuffer of a sound file, at the file's sample rate where browsers can. */
  decode(file, sampleRate) {
    const rate = Math.min(Math.max(sampleRate, 8000), 96000); // the range that every browser supports
    return new OfflineAudioContext(1, 1, rate).decodeAudioData(file.slice().buffer);
  }

  /** Play at once. Stops the previous sound of the same `voice`; other voices continue. */
  play(voice, buffer) {
    if (this.context.state !== "running") this.context.resume();
    this.stop(voice);
    const [source, gain] = [new AudioBufferSourceNode(this.context, { buffer }), new GainNode(this.context)];
    source.connect(gain).connect(this.context.destination);
    source.onended = () => this.playing.get(voice)?.source === source && this.playing.delete(voice);
    this.playing.set(voice, { source, gain });
    source.start();
  }

  /** Stop the sound of a voice. */
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

// Asks the server. Addresses are relative, so that the page works under any path of a proxy.

const TRIES = 6;

/** The server said no; `message` says why, for people. */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export class Api {
  /**
   * @param {(wrong: boolean) => Promise<string>} askToken asks the user for the server's token, once more if the last
   *   one was wrong; "" if the user has none
   * @param {() => void} wait is called when the server is busy, and will be asked again
   */
  constructor(askToken, wait) {
    this.askToken = askToken;
    this.wait = wait;
    this.token = remembered();
    this.asking = null;
  }

  /** All models: `[{name, labels, duration, …}]`. */
  async models() {
    return (await this.ask("v1/models")).models;
  }

  /** The sound of a pad: `{label, seed, name, file: Uint8Array, spectrogram: address of a PNG, sampleRate, duration}`. */
  async sound({ model, label, truncation, seed }, signal) {
    const body = JSON.stringify({ seed, label, truncation, answer: "json", spectrogram: true });
    const headers = { "Content-Type": "application/json" };
    const answer = await this.ask(`v1/models/${encodeURIComponent(model)}/sounds`, { method: "POST", body, headers, signal });
    const [{ label: made, name, audio, spectrogram, duration, sample_rate: sampleRate }] = answer.sounds;
    return { label: made, seed, name, file: bytes(audio), spectrogram: `data:image/png;base64,${spectrogram}`, sampleRate, duration };
  }

  /** The JSON of an answer. A busy server is asked again when it wants to be; one that wants a token gets it. */
  async ask(address, { headers, signal, ...request } = {}) {
    for (let tried = 1; ; tried++) {
      const sent = this.token;
      const token = sent && { Authorization: `Bearer ${sent}` };
      const answer = await reached(fetch(address, { ...request, signal, headers: { ...headers, ...token } }));
      if (answer.status === 401) {
        await this.newToken(sent);
        continue;
      }
      if (sent) remember(sent); // it is the right one
      if (answer.ok) return answer.json();
      if ([429, 503].includes(answer.status) && tried < TRIES) {
        this.wait();
        await rest(Number(answer.headers.get("Retry-After")) || 1, signal);
      } else {
        const told = await answer.json().catch(() => ({}));
        throw new Refused(answer.status, told.detail ?? `The server answered ${answer.status}.`);
      }
    }
  }

  /** Asks once, however many requests were refused with the same old token. */
  async newToken(refused) {
    if (this.token !== refused) return;
    this.asking ??= this.askToken(Boolean(refused)).finally(() => (this.asking = null));
    this.token = await this.asking;
    if (!this.token) throw new Refused(401, "This server asks for a token; “New sounds” asks you again.");
  }
}

/** The token of this tab; browsers may forbid pages to keep any. */
function remembered() {
  try {
    return sessionStorage.getItem("token");
  } catch {
    return null;
  }
}

function remember(token) {
  try {
    sessionStorage.setItem("token", token);
  } catch {
    // It is asked for again when the page is loaded again.
  }
}

async function reached(asked) {
  try {
    return await asked;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, "The server cannot be reached; is it still running?");
  }
}

function bytes(base64) {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}

function rest(seconds, signal) {
  return new Promise((done, stopped) => {
    const timer = setTimeout(done, 1000 * seconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      stopped(signal.reason);
    });
  });
}

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
  /** @param {() => Promise<string>} askToken asks the user for the server's token; "" if the user has none. */
  constructor(askToken) {
    this.askToken = askToken;
    this.token = sessionStorage.getItem("token");
    this.asking = null;
  }

  /** All models: `[{name, labels, duration, …}]`. */
  async models() {
    return (await this.ask("v1/models")).models;
  }

  /** The sound of a pad: `{label, name, file: Uint8Array, painting: address of a PNG, sample_rate, duration}`. */
  async sound({ model, label, truncation, seed }, signal) {
    const body = JSON.stringify({ seed, label, truncation, answer: "json", painting: true });
    const headers = { "Content-Type": "application/json" };
    const answer = await this.ask(`v1/models/${encodeURIComponent(model)}/sounds`, { method: "POST", body, headers, signal });
    const [sound] = answer.sounds;
    return { ...sound, file: bytes(sound.audio), painting: `data:image/png;base64,${sound.painting}` };
  }

  /** The JSON of an answer. A busy server is asked again when it wants to be; one that wants a token gets it. */
  async ask(address, { headers, signal, ...request } = {}) {
    for (let tried = 1; ; tried++) {
      const sent = this.token;
      const token = sent && { Authorization: `Bearer ${sent}` };
      const answer = await reached(fetch(address, { ...request, signal, headers: { ...headers, ...token } }));
      if (answer.ok) return answer.json();
      if (answer.status === 401) {
        await this.newToken(sent);
      } else if ([429, 503].includes(answer.status) && tried < TRIES) {
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
    this.asking ??= this.askToken().finally(() => (this.asking = null));
    this.token = await this.asking;
    if (!this.token) throw new Refused(401, "This server asks for a token; load the page again to enter it.");
    sessionStorage.setItem("token", this.token);
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

// Client of the web API. URLs are relative, so that the page works under any path of a proxy.

const MAX_ATTEMPTS = 6;

/** Error response of the server, with a readable `message`. */
export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export class Api {
  /**
   * @param {(invalid: boolean) => Promise<string>} promptToken prompts the user for the server's token, `invalid` if the
   *   previous one was refused; "" if the user has none
   * @param {() => void} onBusy called before a request to a busy server is repeated
   */
  constructor(promptToken, onBusy) {
    this.promptToken = promptToken;
    this.onBusy = onBusy;
    this.token = loadToken();
    this.prompt = null;
  }

  /** All models: `[{name, labels, duration, …}]`. */
  async models() {
    return (await this.request("v1/models")).models;
  }

  /** Sound of a pad: `{label, seed, name, file: Uint8Array, spectrogram: URL of a PNG, sampleRate, duration}`. */
  async sound({ model, label, truncation, seed }, signal) {
    const body = JSON.stringify({ seed, label, truncation, answer: "json", spectrogram: true });
    const headers = { "Content-Type": "application/json" };
    const response = await this.request(`v1/models/${encodeURIComponent(model)}/sounds`, { method: "POST", body, headers, signal });
    const [{ label: actualLabel, name, audio, spectrogram, duration, sample_rate: sampleRate }] = response.sounds;
    return { label: actualLabel, seed, name, file: bytes(audio), spectrogram: `data:image/png;base64,${spectrogram}`, sampleRate, duration };
  }

  /** JSON of a response. Requests to a busy server are repeated; a missing token is prompted for. */
  async request(url, { headers, signal, ...options } = {}) {
    for (let attempt = 1; ; attempt++) {
      const sent = this.token;
      const token = sent && { Authorization: `Bearer ${sent}` };
      const response = await reachable(fetch(url, { ...options, signal, headers: { ...headers, ...token } }));
      if (response.status === 401) {
        await this.newToken(sent);
        continue;
      }
      if (sent) saveToken(sent); // it is valid
      if (response.ok) return response.json();
      if ([429, 503].includes(response.status) && attempt < MAX_ATTEMPTS) {
        this.onBusy();
        await sleep(Number(response.headers.get("Retry-After")) || 1, signal);
      } else {
        const problem = await response.json().catch(() => ({}));
        throw new ApiError(response.status, problem.detail ?? `The server answered ${response.status}.`);
      }
    }
  }

  /** Prompt once, however many requests were refused with the same token. */
  async newToken(refused) {
    if (this.token !== refused) return;
    this.prompt ??= this.promptToken(Boolean(refused)).finally(() => (this.prompt = null));
    this.token = await this.prompt;
    if (!this.token) throw new ApiError(401, "This server requires a token; “New sounds” prompts for it again.");
  }
}

/** Token of this tab; browsers may forbid pages to store any. */
function loadToken() {
  try {
    return sessionStorage.getItem("token");
  } catch {
    return null;
  }
}

function saveToken(token) {
  try {
    sessionStorage.setItem("token", token);
  } catch {
    // The page prompts for it again when it is loaded again.
  }
}

async function reachable(response) {
  try {
    return await response;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "The server cannot be reached; is it still running?");
  }
}

function bytes(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

function sleep(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, 1000 * seconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}

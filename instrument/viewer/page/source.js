/**
 * Where the page reads from: the server that served it. `Packed` (packed.js) answers the same
 * questions from an exported file; views never know which of the two they ask.
 */

/** What was answered instead of data: what is wrong, and the cure. */
export class SourceError extends Error {
  constructor(message, { cure, status } = {}) {
    super(message);
    this.cure = cure;
    this.status = status;
  }
}

const RETRY_SERVER_MS = 3000;

const asked = (values) => {
  const pairs = Object.entries(values).filter(([, value]) => value != null && value !== "");
  return pairs.length ? `?${new URLSearchParams(pairs)}` : "";
};

/**
 * The server that served the page. `onstate(state, detail)` hears "opening", "live", "gone" (the
 * store cannot be read any more) and "ended" (the server does not answer).
 */
export class Server {
  constructor() {
    this.single = false; // whether there is one request only, and so no list
    this.live = true;
    this.state = "opening";
    this.onstate = () => {};
    this.readAt = Date.now();
    this.retry = 0;
  }

  become(state, detail = {}) {
    if (state === "live" || this.state === "live") this.readAt = Date.now();
    if (state === this.state && state !== "gone") return;
    this.state = state;
    this.onstate(state, detail);
  }

  ended() {
    this.become("ended");
    clearTimeout(this.retry);
    this.retry = setTimeout(() => this.about().catch(() => {}), RETRY_SERVER_MS);
  }

  async get(path, values = {}) {
    let response;
    try {
      response = await fetch(`api/${path}${asked(values)}`);
    } catch {
      this.ended();
      throw new SourceError("The server does not answer");
    }
    const body = await response.json().catch(() => ({}));
    if (response.ok) {
      const opening = this.state === "opening" && path === "about"; // rows are still to come
      if (!opening) this.become("live");
      return body;
    }
    const error = new SourceError(body.error ?? `The server answered ${response.status}`, {
      cure: body.cure,
      status: response.status,
    });
    if (response.status >= 500) this.become("gone", { error: error.message });
    throw error;
  }

  about() {
    return this.get("about");
  }

  /** One page of the list, newest first; `before` and `after` are keys of rows. */
  requests(q, { before, after, limit } = {}) {
    return this.get("requests", { q, before, after, limit });
  }

  summary(q) {
    return this.get("summary", { q });
  }

  async names(q) {
    const answer = await this.get("names", { q });
    return Array.isArray(answer) ? answer : answer.names;
  }

  request(id) {
    return this.get(`request/${encodeURIComponent(id)}`);
  }

  run(id) {
    return this.get(`run/${encodeURIComponent(id)}`);
  }

  /** Hear of changed rows: `on.requests({requests, cursor})`. Returns what has a `close()`. */
  watchList(q, cursor, on) {
    return this.watch("live", { q, after: cursor }, on);
  }

  /** Hear one request: `on.runs`, `on.token`, `on.end`; tokens only of `run`, where given. */
  watchRequest(id, cursor, on, { run } = {}) {
    return this.watch(`live/${encodeURIComponent(id)}`, { after: cursor, run }, on);
  }

  watch(path, values, on) {
    const stream = new EventSource(`api/${path}${asked(values)}`);
    const hear = (name, then) =>
      stream.addEventListener(name, (event) => then(event.data ? JSON.parse(event.data) : {}));
    for (const name of ["requests", "runs", "token"]) if (on[name]) hear(name, on[name]);
    hear("end", (data) => {
      stream.close();
      on.end?.(data);
    });
    hear("gone", (data) => this.become("gone", data));
    hear("back", () => this.become("live"));
    stream.addEventListener("open", () => this.state === "ended" && this.become("live"));
    stream.addEventListener("error", () => this.ended()); // the browser connects again by itself
    return { close: () => stream.close() };
  }
}

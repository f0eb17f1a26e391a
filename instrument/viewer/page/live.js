/**
 * A request that runs: what the server tells of it, and the clock by which its figures run.
 *
 * Runs that changed are handed on together, once a frame (ten times a second in a large request).
 */
const FIGURES_MS = 100;

export class Live {
  /**
   * @param on `changed(runs, request)`, `token(piece)`, `tick()` ten times a second while
   *   something runs, `ended()`
   */
  constructor({ source, request, cursor, tree, on }) {
    Object.assign(this, { source, request, tree, on });
    this.waiting = new Map();
    this.skewMs = 0;
    this.setNow();
    this.stream = source.watchRequest(request.trace_id, cursor, {
      runs: (told) => this.take(told),
      token: (piece) => on.token(piece),
      end: () => {
        this.flush();
        this.stop();
        on.ended();
      },
    });
    this.timer = setInterval(() => this.tick(), FIGURES_MS);
  }

  take({ runs, request }) {
    for (const run of runs ?? []) this.waiting.set(run.run_id, run);
    this.request = request ?? this.request;
    if (this.soon) return;
    this.soon = true;
    if (this.tree.large || document.hidden) setTimeout(() => this.flush(), FIGURES_MS);
    else requestAnimationFrame(() => this.flush());
  }

  flush() {
    this.soon = false;
    if (this.stopped || !this.waiting.size) return;
    const runs = [...this.waiting.values()];
    this.waiting.clear();
    this.tree.merge(runs);
    this.setNow();
    this.on.changed(runs, this.request);
  }

  /** Now, in ms from the request's start; never before what has been told already. */
  setNow() {
    const since = Date.now() - this.request.started_ms;
    this.skewMs = Math.max(this.skewMs, this.tree.lastMs - since);
    this.tree.nowMs = since + this.skewMs;
  }

  tick() {
    if (document.hidden || this.source.state !== "live" || !this.tree.running.length) return;
    this.setNow();
    this.on.tick();
  }

  stop() {
    this.stopped = true;
    clearInterval(this.timer);
    this.stream.close();
  }
}

/**
 * What is looked at while following: what is selected, if it runs; else what writes already; else
 * the newest that runs.
 */
export function followed(tree, selected) {
  const leaf = (run) => !tree.children(run).some((child) => child.status === "running");
  if (selected?.status === "running" && leaf(selected)) return selected;
  const leaves = tree.running.filter(leaf);
  return leaves.find((run) => run.first_token_ms != null) ?? leaves.at(-1) ?? selected;
}

/**
 * Time, to the right of the tree: one axis for the ruler, the bars and the map above them.
 *
 * A bar knows its run's start and end in ms; where that is on the screen is computed by the style
 * sheet from `--from`, `--span` and `--now`, which stand on the pane. So bars grow ten times a
 * second, and no row is made again.
 */
import { h, icon } from "./dom.js";
import { duration } from "./format.js";

const MAP_ABOVE = 40;
const LEAST_DRAG_PX = 4;
const TICK_PX = 76;
const LABEL_EDGE_PX = 5;
const LETTER_PX = 6.5;
const MODEL_KINDS = ["chat_model", "llm"];
const BAR_CLASSES = {
  chat_model: "c-model",
  llm: "c-model",
  tool: "c-tool",
  retriever: "c-retriever",
  embedding: "c-retriever",
};

export const isModel = (run) => MODEL_KINDS.includes(run.kind);

/** The axis, its ruler and its map; `changed()` is called when somebody looks closer. */
export class Lanes {
  constructor(tree, pane, { changed, laneWidth }) {
    this.tree = tree;
    this.pane = pane;
    this.changed = changed;
    this.laneWidth = laneWidth;
    this.zoom = null;
    const title = "Drag to look closer, double click for all";
    this.ruler = h("div.ruler", { title });
    this.canvas = h("canvas");
    this.before = h("div.veil");
    this.after = h("div.veil");
    this.frame = h("div.win");
    this.map = h("div.map.w-md", { title }, this.canvas, this.before, this.after, this.frame);
    this.zoomsBy(this.map, () => this.whole());
    this.zoomsBy(this.ruler, () => this.window());
  }

  /** The whole request, with a little room at its end. */
  whole() {
    const { firstMs, endMs, running } = this.tree;
    return [firstMs, endMs + (endMs - firstMs) * (running.length ? 0.06 : 0.02)];
  }

  /** What is looked at: from and to, in ms from the request's start. */
  window() {
    return this.zoom ?? this.whole();
  }

  setZoom(zoom) {
    this.zoom = zoom;
    this.changed();
  }

  zoomsBy(element, axis) {
    let from = null;
    let fromX = 0;
    let to = null;
    const at = (event) => {
      const box = element.getBoundingClientRect();
      const [a, b] = axis();
      const share = Math.max(0, Math.min(1, (event.clientX - box.left) / box.width));
      return a + share * (b - a);
    };
    element.addEventListener("pointerdown", (event) => {
      from = at(event);
      fromX = event.clientX;
      to = null;
      element.setPointerCapture(event.pointerId);
    });
    element.addEventListener("pointermove", (event) => {
      if (from === null || Math.abs(event.clientX - fromX) < LEAST_DRAG_PX) return;
      to = at(event);
      if (element === this.map) this.setZoom([Math.min(from, to), Math.max(from, to)]);
    });
    const done = () => {
      if (from !== null && to !== null && from !== to && element !== this.map) {
        this.setZoom([Math.min(from, to), Math.max(from, to)]);
      }
      from = null;
    };
    element.addEventListener("pointerup", done);
    element.addEventListener("pointercancel", () => (from = null));
    element.addEventListener("dblclick", () => this.setZoom(null));
  }

  /** Put the axis onto the pane; quick enough for ten times a second. */
  place() {
    const [from, to] = this.window();
    const span = Math.max(to - from, 1e-6);
    const width = this.laneWidth();
    this.pane.style.setProperty("--from", from);
    this.pane.style.setProperty("--span", span);
    this.pane.style.setProperty("--now", this.tree.endMs);
    const steps = this.steps(from, to, width);
    const lines = steps.filter((ms) => ms > from).map((ms) => {
      const x = (((ms - from) / span) * width).toFixed(1);
      return `linear-gradient(var(--line), var(--line)) ${x}px 0 / 1px 100% no-repeat`;
    });
    this.pane.style.setProperty("--grid", lines.join(", ") || "none");
    if (String(steps) === String(this.drawn)) return;
    this.drawn = steps;
    const label = (ms) => {
      const text = rulerText(ms);
      const room = ((to - ms) / span) * width;
      const cut = room < LABEL_EDGE_PX + LETTER_PX * text.length;
      return h("span", { style: { "--a": ms } }, cut ? null : text);
    };
    this.ruler.replaceChildren(...steps.map(label));
  }

  steps(from, to, width) {
    const least = (to - from) / Math.max(3, Math.floor(width / TICK_PX));
    const power = 10 ** Math.floor(Math.log10(least));
    const step = [1, 2, 2.5, 5, 10].map((n) => n * power).find((n) => n >= least) ?? 10 * power;
    const out = [];
    for (let n = Math.ceil(from / step); n * step < to; n++) out.push(n * step);
    return out;
  }

  /** The bar of a run with its marks, or an arrow to where it is. */
  bar(run) {
    const { tree } = this;
    const outside = this.outside(run.start_ms, tree.endOf(run));
    if (outside) return outside;
    const kind = BAR_CLASSES[run.kind] ?? "";
    const running = run.status === "running";
    const box = !kind && (tree.childrenOf.has(run.run_id) || running);
    const style = { "--a": run.start_ms };
    if (!running) style["--b"] = tree.endOf(run);
    const status = run.status === "ok" ? "" : run.status;
    const waits = run.first_token_ms != null && run.status !== "error";
    return [
      h(
        "div.bar",
        { class: `${kind} ${status} ${box ? "box" : ""}`, style },
        waits ? h("span.wait", { style: { "--wait": run.first_token_ms } }) : null,
      ),
      (run.marks ?? []).map((mark) => this.mark(run, mark)),
    ];
  }

  /** A retry or an emitted event; its time counts from its run's start. */
  mark(run, mark) {
    const [from, to] = this.window();
    const at = run.start_ms + mark.at_ms;
    if (at < from || at > to) return null;
    const title = `${mark.name ?? mark.kind} at ${duration(at)}`;
    const style = { "--a": at };
    return h("span.tick", { class: mark.kind, style, title }, icon(mark.kind));
  }

  /** Bars of many runs in one lane; those that nearly touch are one. */
  groupBars(runs) {
    const [from, to] = this.window();
    const kind = BAR_CLASSES[runs[0].kind] ?? "box2";
    const merged = [];
    for (const run of runs) {
      const end = this.tree.endOf(run);
      const last = merged.at(-1);
      if (end < from || run.start_ms > to) continue;
      if (last && run.start_ms - last[1] < (to - from) / 220) last[1] = Math.max(last[1], end);
      else merged.push([run.start_ms, end]);
    }
    if (!merged.length) {
      return this.outside(runs[0].start_ms, this.tree.endOf(runs.at(-1)));
    }
    return merged.map(([a, b]) => {
      const style = { "--a": a, "--b": b };
      return h("div.bar.group", { class: kind, style });
    });
  }

  outside(start, end) {
    const [from, to] = this.window();
    if (end >= from && start <= to) return null;
    const side = end < from ? "l" : "r";
    const title = `outside this stretch of time: at ${duration(start)}`;
    return h("span.beyond", { class: side, title }, side === "l" ? "‹" : "›");
  }

  get hasMap() {
    return this.tree.runs.length > MAP_ABOVE;
  }

  /** Draw the map: all runs by depth, the failed ones on top of all. */
  drawMap() {
    this.map.classList.toggle("hide", !this.hasMap);
    const { clientWidth: width, clientHeight: height } = this.map;
    if (!this.hasMap || !width) return;
    const scale = devicePixelRatio || 1;
    this.canvas.width = width * scale;
    this.canvas.height = height * scale;
    const pen = this.canvas.getContext("2d");
    pen.scale(scale, scale);
    const colours = this.colours();
    const [start, end] = this.whole();
    const whole = end - start;
    const { depths, deepest } = depthsOf(this.tree);
    const pad = 6;
    const step = (height - pad * 2) / (deepest + 1);
    const draw = (run, least) => {
      const x = ((run.start_ms - start) / whole) * width;
      const long = ((this.tree.endOf(run) - run.start_ms) / whole) * width;
      const y = pad + depths.get(run.run_id) * step;
      pen.fillRect(x, y, Math.max(least, long), Math.max(1, Math.min(step - 2, 8)));
    };
    const kinds = { "": [], "c-model": [], "c-tool": [], "c-retriever": [], error: [] };
    for (const run of this.tree.runs) {
      kinds[run.status === "error" ? "error" : BAR_CLASSES[run.kind] ?? ""].push(run);
    }
    for (const [kind, runs] of Object.entries(kinds)) {
      pen.fillStyle = colours[kind];
      for (const run of runs) draw(run, kind === "error" ? 2 : 1);
    }
    this.placeFrame(start, whole);
  }

  placeFrame(start, whole) {
    for (const element of [this.before, this.after, this.frame]) {
      element.classList.toggle("hide", !this.zoom);
    }
    if (!this.zoom) return;
    const [from, to] = this.zoom.map((ms) => ((ms - start) / whole) * 100);
    const put = (element, left, width) => {
      element.style.setProperty("left", `${left}%`);
      element.style.setProperty("width", `${width}%`);
    };
    put(this.before, 0, from);
    put(this.after, to, 100 - to);
    put(this.frame, from, to - from);
  }

  /** The tokens of the style sheet as a canvas needs them. */
  colours() {
    const probe = h("i.offscreen");
    this.map.append(probe);
    const read = (name) => {
      probe.style.setProperty("color", `var(${name})`);
      return getComputedStyle(probe).color;
    };
    const colours = {
      "": read("--k-container"),
      "c-model": read("--k-model"),
      "c-tool": read("--k-tool"),
      "c-retriever": read("--k-retriever"),
      error: read("--error-bar"),
    };
    probe.remove();
    return colours;
  }
}

function depthsOf(tree) {
  const depths = new Map();
  let deepest = 0;
  const depthOf = (run) => {
    const path = [];
    let at = run;
    while (at && !depths.has(at.run_id)) {
      path.push(at);
      at = tree.parentOf(at);
    }
    let depth = at ? depths.get(at.run_id) : -1;
    while (path.length) depths.set(path.pop().run_id, ++depth);
    deepest = Math.max(deepest, depth);
  };
  tree.runs.forEach(depthOf);
  return { depths, deepest };
}

/** `2 s`, not `2.00 s`. */
function rulerText(ms) {
  if (ms === 0) return "0";
  return duration(ms).replace(/(\.\d*?)0+(?=\D)/, "$1").replace(/\.(?=\D)/, "");
}

/**
 * The view of one request: its figures above, its runs as a tree beside their lanes, and the
 * selected run. What somebody has selected stands in the address.
 */
import { copyText, fact, fill, h, icon, statusWord, toast } from "./dom.js";
import { clock, count, counted, durationEl, moment, money, tokens } from "./format.js";
import { Detail, TABS } from "./detail.js";
import { followed, Live } from "./live.js";
import { RunsPane } from "./runs.js";
import { errorState } from "./states.js";
import { Tree } from "./tree.js";

const UNTIL_SAID_MS = 150;
const LEAST_DETAIL = 320;
const MOST_DETAIL = 0.62;

/** One request, or what is wrong with it. */
export function requestView(ctx) {
  const element = h("div.page");
  const view = { element, keys: {}, close: () => (view.closed = true) };
  const opening = setTimeout(() => {
    fill(element, h("p.dim.opening", { role: "status" }, "Reading the request"));
  }, UNTIL_SAID_MS);
  const opened = (answer) => {
    clearTimeout(opening);
    if (view.closed) return;
    const page = new RequestPage(ctx, element, answer);
    view.keys = page.keys();
    view.close = () => page.close();
    view.refresh = () => page.readAgain();
  };
  const failed = (error) => {
    clearTimeout(opening);
    if (!view.closed) fill(element, errorState(error));
  };
  ctx.source.request(ctx.route.id).then(opened).catch(failed);
  return view;
}

class RequestPage {
  constructor(ctx, element, { request, runs, cursor }) {
    this.ctx = ctx;
    this.element = element;
    this.request = request;
    this.tree = new Tree(runs);
    const { q } = ctx.route;
    this.search = q ? `?q=${encodeURIComponent(q)}` : "";
    this.sum = h("section.sum", { "aria-label": "The request, summed up" });
    this.follow = h("button.btn.hide", {
      "aria-pressed": "false", onclick: () => this.setFollow(!this.follows),
      title: "Keep the newest run in view (f)",
    }, "Follow");
    this.detail = new Detail({
      tree: this.tree,
      source: ctx.source,
      open: (id) => this.open(this.tree.byId.get(id)),
      back: () => this.leaveDetail(),
      tabChanged: () => this.noteAddress(),
    });
    this.runs = new RunsPane({
      tree: this.tree,
      app: ctx.app,
      extra: this.follow,
      on: {
        run: (run, how) => this.selected(run, how),
        group: (group) => this.selectedGroup(group),
      },
    });
    const split = h("div.split", {}, this.runs.element, this.grip(), this.detail.element);
    fill(element, this.sum, split);
    this.bar();
    this.drawSum();
    this.runs.draw();
    this.watch(cursor);
    this.first();
  }

  bar() {
    const { request, ctx, search } = this;
    const { single, live } = ctx.source;
    const back = h("a.btn.square.back", { href: `#/${search}`, "aria-label": "All requests" },
      icon("left"));
    const name = h("span.name", {}, single ? null : back, h("span.strong.cut", {}, request.name),
      h("span.dim.cut.w-lg", { title: request.said }, request.said));
    const list = h("a.w-md.mid", { href: `#/${search}` }, "Requests");
    const link = () => copyText(location.href, "Link copied");
    const actions = [
      h("button.btn.w-md", { title: "Copy a link to this run", onclick: link }, "Copy link"),
      h("button.btn.w-md", {
        title: "Copy the command that writes this request into one HTML file",
        onclick: () => this.copyExport(),
      }, "Export"),
    ];
    ctx.bar(single ? [name] : [list, name], live ? actions : []);
  }

  async copyExport() {
    const id = (this.request.hex ?? this.request.trace_id).slice(0, 12);
    const file = this.request.name.replace(/[^\w.]+/g, "-").replace(/^-+/, "") || "request";
    const command = `python -m instrument export ${id} --to ${file}.html`;
    const { path } = await this.ctx.source.about().catch(() => ({}));
    const store = path ? ` --store '${path.replaceAll("'", "'\\''")}'` : "";
    copyText(command + store, `Copied: ${command}`);
  }

  /** Select what the address says, else what people look for first. */
  first() {
    const { route } = this.ctx;
    if (TABS.includes(route.tab)) this.detail.tab = route.tab;
    const asked = this.tree.byId.get(route.run);
    const runs = this.follows ? followed(this.tree) : undefined;
    const run = asked ?? runs ?? this.tree.firstLook(this.request.traceback_of);
    if (asked) this.element.classList.add("open-detail");
    if (run) this.show(run);
  }

  drawSum() {
    const { request, tree } = this;
    const running = request.status === "running";
    const sum = (field) => {
      const known = tree.runs.map((run) => run[field]).filter((n) => n != null);
      return known.length ? known.reduce((a, b) => a + b, 0) : null;
    };
    const sub = (n, word) => (n ? h("span.sub.w-md", {}, ` ${tokens(n)} ${word}`) : null);
    const soFar = running && request.cost_usd != null ? h("span.sub", {}, " so far") : null;
    const { unpriced, first_token_ms: first } = request;
    const title = unpriced ? `without ${counted(unpriced, "call")} whose price is not known` : null;
    const errors = tree.runs.some((run) => run.status === "error") ? tree.errors().length : 0;
    this.figure = h("span", { class: running ? "s-running" : "" }, durationEl(this.tookMs()));
    fill(
      this.sum,
      h(
        "dl.facts",
        {},
        fact("Status", statusWord(request.status)),
        fact("Duration", this.figure),
        first != null ? fact("First token", durationEl(first)) : null,
        fact("Tokens in", tokens(request.input_tokens), sub(sum("cached_tokens"), "cached")),
        fact("Tokens out", tokens(request.output_tokens),
          sub(sum("reasoning_tokens"), "reasoning")),
        fact("Cost", h("span", { title }, money(request.cost_usd)), soFar),
        h("div.fact.w-sm", {}, h("dt", {}, "Runs"), h("dd", {}, count(tree.runs.length))),
        h("div.fact.w-sm.w-lg", {}, h("dt", {}, "Started"),
          h("dd", { title: moment(request.started_ms) }, clock(request.started_ms),
            h("span.sub", {}, " UTC"))),
      ),
      h("span.grow"),
      errors
        ? h("button.btn.line", { onclick: () => this.nextError(1), title: "Next error (e)" },
            h("span.err", {}, icon("error")), counted(errors, "error"), h("kbd.w-md", {}, "e"))
        : null,
    );
  }

  tookMs() {
    const { request, tree } = this;
    if (request.duration_ms != null) return request.duration_ms;
    return request.status === "running" ? tree.endMs : undefined;
  }

  // what is selected

  /** Open the run of a link, wherever it is. */
  open(run) {
    if (!run) return;
    this.setFollow(false);
    this.show(run);
    this.noteAddress();
    this.element.classList.add("open-detail");
  }

  show(run) {
    this.runs.reveal(run);
    this.detail.show(run);
  }

  selected(run, { pressed }) {
    this.setFollow(false);
    this.detail.show(run);
    this.noteAddress();
    if (pressed) this.element.classList.add("open-detail");
  }

  selectedGroup(group) {
    this.setFollow(false);
    this.detail.showGroup(group);
  }

  nextError(step) {
    const found = this.tree.nextError(this.runs.selected, step);
    if (!found) {
      toast("Nothing in this request has failed");
      return;
    }
    this.detail.tab = TABS[0];
    this.open(found);
  }

  noteAddress() {
    if (!this.runs.selected) return;
    const parts = ["#/r", this.request.trace_id, this.runs.selected.run_id];
    if (this.detail.tab !== TABS[0]) parts.push(this.detail.tab);
    this.ctx.note(parts.join("/") + this.search);
  }

  leaveDetail() {
    this.element.classList.remove("open-detail");
    this.runs.scroll.focus({ preventScroll: true });
  }

  intoDetail() {
    this.element.classList.add("open-detail");
    this.detail.body.focus({ preventScroll: true });
  }

  escape() {
    const { runs, detail } = this;
    const inDetail = runs.isPhone
      ? this.element.classList.contains("open-detail")
      : detail.element.contains(document.activeElement);
    if (inDetail) this.leaveDetail();
    else if (runs.narrowed) runs.showAll();
    else if (!this.ctx.source.single) this.ctx.go(`#/${this.search}`);
  }

  keys() {
    const { runs, detail } = this;
    const tab = (name) => () => {
      detail.setTab(name);
      this.noteAddress();
    };
    return {
      j: () => runs.move(1),
      k: () => runs.move(-1),
      ArrowDown: () => runs.move(1),
      ArrowUp: () => runs.move(-1),
      Home: () => runs.move(-Infinity),
      End: () => runs.move(Infinity),
      ArrowLeft: () => runs.goLeft(),
      ArrowRight: () => runs.goRight(),
      Enter: () => this.intoDetail(),
      e: () => this.nextError(1),
      E: () => this.nextError(-1),
      "/": () => runs.find.focus(),
      f: () => this.setFollow(!this.follows),
      h: () => runs.hideName(),
      0: () => runs.lanes.setZoom(null),
      1: tab(TABS[0]),
      2: tab(TABS[1]),
      3: tab(TABS[2]),
      Escape: () => this.escape(),
    };
  }

  // what changes by itself

  watch(cursor) {
    const { source } = this.ctx;
    if (!source.live || !this.tree.running.length) return;
    this.live = new Live({
      source,
      request: this.request,
      cursor,
      tree: this.tree,
      on: {
        changed: (runs, request) => this.changed(runs, request),
        token: (piece) => this.detail.take(piece),
        tick: () => this.tick(),
        ended: () => this.ended(),
      },
    });
    this.follow.classList.remove("hide");
    this.setFollow(!this.ctx.route.run);
  }

  setFollow(follows) {
    if (!this.live || follows === this.follows) return;
    this.follows = follows;
    this.follow.setAttribute("aria-pressed", String(follows));
    if (follows && this.runs.selected) this.followOn();
  }

  followOn() {
    const run = followed(this.tree, this.runs.selected);
    if (run && run.run_id !== this.runs.cursor) this.show(run);
  }

  changed(runs, request) {
    this.request = request ?? this.request;
    this.drawSum();
    this.runs.draw();
    this.detail.refresh(new Set(runs.map((run) => run.run_id)));
    if (this.follows) this.followOn();
  }

  tick() {
    this.figure.replaceChildren(durationEl(this.tookMs()));
    this.runs.tick();
    this.detail.tick();
  }

  ended() {
    this.follow.classList.add("hide");
    this.follows = false;
    this.live = null;
    this.readAgain();
  }

  /** Read the request once more; where that fails, what is seen stays. */
  async readAgain() {
    const answer = await this.ctx.source.request(this.request.trace_id).catch(() => null);
    if (this.closed || !answer) return;
    this.tree.merge(answer.runs);
    this.changed(answer.runs, answer.request);
    if (!this.live) this.watch(answer.cursor);
  }

  close() {
    this.closed = true;
    this.live?.stop();
    this.runs.close();
  }

  grip() {
    const grip = h("div.grip", {
      role: "separator", tabindex: "0", "aria-orientation": "vertical", title: "Drag",
      "aria-label": "Width of the detail",
      "aria-valuemin": "20", "aria-valuemax": "62", "aria-valuenow": "43",
    });
    const { app } = this.ctx;
    const set = (wide) => {
      const width = Math.max(LEAST_DETAIL, Math.min(app.clientWidth * MOST_DETAIL, wide));
      document.documentElement.style.setProperty("--detail", `${width}px`);
      grip.setAttribute("aria-valuenow", Math.round((width / app.clientWidth) * 100));
    };
    let held = false;
    grip.addEventListener("pointerdown", (event) => {
      held = true;
      grip.setPointerCapture(event.pointerId);
    });
    grip.addEventListener("pointermove", (event) => {
      if (held) set(app.getBoundingClientRect().right - event.clientX);
    });
    for (const end of ["pointerup", "pointercancel"]) {
      grip.addEventListener(end, () => (held = false));
    }
    grip.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: 16, ArrowRight: -16 }[event.key];
      if (!step) return;
      event.preventDefault();
      set(this.detail.element.getBoundingClientRect().width + step);
    });
    return grip;
  }
}

/**
 * The pane of the selected run: its figures, and three tabs that every kind has: what one reads,
 * JSON, and the events as they came.
 */
import { fact, fill, h, icon, kindIcon, statusWord } from "./dom.js";
import { count, duration, durationEl, money, percentile, tokens } from "./format.js";
import { section } from "./conversation.js";
import { beginning, copyButton, jsonTree } from "./json.js";
import { isModel } from "./lanes.js";
import { Reading } from "./reading.js";

const PATIENCE_MS = 150;
const KEPT_RUNS = 60;
const READ_AGAIN_MS = 1000;
const CHANNELS = ["text", "reasoning"];
const EVENTS_FIRST = 200;
const EVENT_LENGTH = 200;
const SLOWEST = 10;
const USUAL_FINISHES = ["stop", "tool_calls", "tool_use", "end_turn", "completed", "STOP"];

/** The tabs in the order of their keys 1 2 3. */
export const TABS = ["read", "json", "events"];

function tabNames(run) {
  const read = { tool: "Call", retriever: "Documents" }[run.kind];
  const name = isModel(run) ? "Conversation" : read ?? "In and out";
  return { read: name, json: "JSON", events: "Events" };
}

/** `open(run_id)` selects another run, `back()` leaves the pane on a phone. */
export class Detail {
  constructor({ tree, source, open, back, tabChanged }) {
    Object.assign(this, { tree, source, open, back, tabChanged });
    this.tab = "read";
    this.known = new Map();
    this.asked = 0;
    this.readAt = 0;
    this.pieces = [];
    this.head = h("div.dhead");
    this.body = h("div.dbody", { tabindex: "0", role: "tabpanel", id: "detail-body" });
    this.element = h("aside.right", { "aria-label": "The selected run" }, this.head, this.body);
  }

  /** Show a run of the tree: its head at once, the rest when it has been read. */
  async show(run) {
    const other = this.run?.run_id !== run.run_id;
    const asked = ++this.asked;
    this.run = run;
    this.drawHead();
    const known = this.known.get(run.run_id);
    if (known && known.status === run.status && run.status !== "running") {
      this.draw(known, other);
      return;
    }
    this.readAt = performance.now();
    if (other) {
      fill(this.body);
      this.arriving = null;
      this.pieces = [];
      setTimeout(() => {
        if (asked === this.asked && !this.body.hasChildNodes()) {
          fill(this.body, h("p.dim", { role: "status" }, "Reading the run"));
        }
      }, PATIENCE_MS);
    }
    let whole;
    try {
      whole = await this.source.run(run.run_id);
    } catch (error) {
      if (asked === this.asked) fill(this.body, h("p.err", { role: "alert" }, error.message));
      return;
    }
    if (asked !== this.asked) return;
    this.remember(whole);
    this.whole = whole;
    this.arriving = null;
    for (const piece of this.pieces) this.add(piece); // that came while it was read
    this.draw(whole, other);
  }

  /** Show what like runs have in common. */
  showGroup(runs) {
    this.asked++;
    this.run = this.whole = this.arriving = null;
    const took = runs.map((run) => run.duration_ms);
    const sum = (field) => {
      const known = runs.map((run) => run[field]).filter((n) => n != null);
      return known.length ? known.reduce((a, b) => a + b, 0) : null;
    };
    const told = (label, known, write) => (known == null ? null : fact(label, write(known)));
    const [{ kind, name, model }] = runs;
    const back = { "aria-label": "Back to the runs", onclick: this.back };
    fill(
      this.head,
      h("div.dtitle", {}, h("button.btn.square.back", back, icon("left")), kindIcon(kind),
        h("h2.cut", {}, name),
        h("span.dim.cut", {}, `× ${count(runs.length)}`, model && `, ${model}`)),
      h(
        "dl.facts.last",
        {},
        fact("Added up", durationEl(sum("duration_ms"))),
        fact("Median", durationEl(percentile(took, 0.5))),
        fact("p95", durationEl(percentile(took, 0.95))),
        told("Tokens in", sum("input_tokens"), tokens),
        told("Tokens out", sum("output_tokens"), tokens),
        told("Cost", sum("cost_usd"), money),
      ),
    );
    const slowest = [...runs].sort((a, b) => b.duration_ms - a.duration_ms).slice(0, SLOWEST);
    const link = (run) =>
      h("button.ran.alone", { onclick: () => this.open(run.run_id) }, kindIcon(kind),
        h("span.strong.ink", {}, duration(run.duration_ms)),
        h("span.cut", {}, `at ${duration(run.start_ms)}`), h("span.grow"), icon("right"));
    const boxes = slowest.map((run) => h("div.call", {}, link(run)));
    fill(this.body, section("The slowest of them", h("div.calls", {}, boxes)));
    this.body.scrollTop = 0;
  }

  remember(whole) {
    this.known.delete(whole.run_id);
    this.known.set(whole.run_id, whole);
    if (this.known.size > KEPT_RUNS) this.known.delete(this.known.keys().next().value);
  }

  /** Take what has changed in the tree, without disturbing who reads. */
  refresh(changedIds) {
    const now = this.tree.byId.get(this.run?.run_id);
    if (!now) return;
    const isOver = now.status !== this.run.status;
    const isOld = !this.arriving && performance.now() - this.readAt > READ_AGAIN_MS;
    this.run = now;
    if (changedIds.has(now.run_id) && (isOver || isOld)) {
      this.show(now);
    } else if (this.whole?.run_id === now.run_id && this.belowText() !== this.told) {
      this.draw(this.whole, false);
    }
  }

  /** What of the runs below is told here, as a text that changes with it. */
  belowText() {
    const runs = this.tree.below(this.run);
    const told = runs.filter((run) => run.origin || isModel(run));
    return told.map((run) => run.run_id + run.status).join();
  }

  /** Take a piece of a running model's answer. */
  take(piece) {
    if (piece.run_id !== this.run?.run_id) return;
    this.pieces.push(piece);
    if (this.whole?.run_id === piece.run_id) this.add(piece);
  }

  add({ channel, text, cursor }) {
    const { whole } = this;
    if (cursor <= whole.cursor || !CHANNELS.includes(channel)) return;
    whole[channel] = (whole[channel] ?? "") + text;
    whole.cursor = cursor;
    this.arriving?.take(channel, text);
  }

  /** Figures that run. */
  tick() {
    if (this.run?.status !== "running" || !this.figure) return;
    this.figure.replaceChildren(durationEl(this.tree.durationOf(this.run)));
  }

  setTab(tab) {
    if (!TABS.includes(tab)) return;
    this.tab = tab;
    if (!this.run) return;
    this.drawHead();
    if (this.whole?.run_id === this.run.run_id) this.draw(this.whole, true);
  }

  drawHead() {
    const { run, tree } = this;
    const tab = ([key, label]) =>
      h("button.tab", {
        role: "tab",
        id: `tab-${key}`,
        "aria-selected": String(this.tab === key),
        "aria-controls": "detail-body",
        onclick: () => {
          this.setTab(key);
          this.tabChanged(key);
        },
      }, label);
    fill(
      this.head,
      h(
        "div.dtitle",
        {},
        h("button.btn.square.back", { "aria-label": "Back to the runs", onclick: this.back },
          icon("left")),
        kindIcon(run.kind),
        h("h2.cut", { title: run.name }, run.name),
        h("span.dim.cut", {}, run.model ?? run.kind.replace("_", " ")),
        statusWord(run.status),
      ),
      tree.parentOf(run) ? this.facts() : null,
      h("div.tabs", { role: "tablist" }, Object.entries(tabNames(run)).map(tab)),
    );
  }

  facts() {
    const { run, tree } = this;
    const running = run.status === "running";
    const sub = (n, word) => (n ? h("span.sub", {}, ` ${tokens(n)} ${word}`) : null);
    const took = tree.durationOf(run);
    this.figure = h("span", { class: running ? "s-running" : "" }, durationEl(took));
    const first = run.first_token_ms;
    const waits = running && isModel(run) && first == null;
    const speed = speedOf(run);
    const told = run.finish && !running && !USUAL_FINISHES.includes(run.finish);
    const spent = run.input_tokens ?? run.output_tokens;
    return h(
      "dl.facts",
      {},
      fact("Duration", this.figure),
      first != null ? fact("First token", durationEl(first)) : null,
      waits ? fact("First token", "waiting") : null,
      speed ? fact("Speed", Math.round(speed), h("span.unit", {}, "\u202ftok/s")) : null,
      run.input_tokens != null
        ? fact("Tokens in", tokens(run.input_tokens), sub(run.cached_tokens, "cached"))
        : null,
      run.output_tokens != null
        ? fact("Tokens out", tokens(run.output_tokens), sub(run.reasoning_tokens, "reasoning"))
        : null,
      spent != null || run.cost_usd != null ? fact("Cost", money(run.cost_usd)) : null,
      told ? fact("Finish", h("div.err.cut", { title: run.finish }, run.finish)) : null,
    );
  }

  draw(whole, top) {
    const { tab, body } = this;
    const scrolled = body.scrollTop;
    this.whole = whole;
    this.arriving = null;
    this.told = this.belowText();
    const parts = { read: this.reading, json: this.json, events: this.events };
    fill(body, parts[tab].call(this));
    body.setAttribute("aria-labelledby", `tab-${tab}`);
    body.scrollTop = top ? 0 : scrolled;
  }

  reading() {
    const { run, tree, whole, open, body } = this;
    const reading = new Reading({ run, tree, whole, open, scroll: body });
    const parts = reading.parts();
    this.arriving = reading.arriving;
    return parts;
  }

  json() {
    const { events, cursor, ...record } = this.whole;
    return section(
      ["Everything that was recorded of this run", copyButton(record, "Copy all")],
      jsonTree(record),
    );
  }

  events() {
    const events = (this.whole.events ?? []).filter((one) => one.event);
    const more = (this.whole.events ?? []).find((one) => one.more)?.more;
    const list = h("div");
    const line = (event) => eventLine(event, this.run.start_ms);
    const add = (from, to) => list.append(...events.slice(from, to).map(line));
    add(0, EVENTS_FIRST);
    const left = events.length - EVENTS_FIRST;
    if (left > 0) {
      const button = h("button.more", {}, `Show ${count(left)} more`);
      button.addEventListener("click", () => {
        button.remove();
        add(EVENTS_FIRST, events.length);
      });
      list.append(button);
    }
    const jsonl = () => events.map((one) => JSON.stringify(one)).join("\n");
    return [
      section(
        ["As they came, times from the start of the request", copyButton(jsonl, "Copy JSONL")],
        list,
      ),
      more ? h("div.note", {}, `${count(more)} more events are in the store.`) : null,
    ];
  }
}

/**
 * Tokens a second while they came; undefined where that is not known. Reasoning may have come
 * unseen before the first token, so with it nobody knows.
 */
function speedOf(run) {
  if (run.reasoning_tokens) return undefined;
  const came = run.duration_ms - run.first_token_ms;
  return run.output_tokens && came > 1 ? run.output_tokens / (came / 1e3) : undefined;
}

/** One event as a line; its data opens as a tree. Its time counts from its run's start. */
function eventLine({ at_ms, event, data, ...others }, start_ms) {
  const times = data?.count > 1 ? ` × ${count(data.count)}` : "";
  const whole = data ?? others;
  const told = JSON.stringify(whole) ?? "";
  const short = told.length > EVENT_LENGTH ? `${beginning(told, EVENT_LENGTH)}…` : told;
  const shown = h("span.ds", {}, told === "{}" ? "" : short);
  const line = h(
    "button.evt",
    { "aria-expanded": "false", title: "Open" },
    h("span.tm", {}, duration(start_ms + at_ms)),
    h("span.tx", {}, h("span.nm", {}, event, times), " ", shown),
  );
  const tree = h("div.evt-data");
  line.addEventListener("click", () => {
    const open = !tree.hasChildNodes();
    fill(tree, open ? jsonTree(whole, "data") : null);
    line.setAttribute("aria-expanded", String(open));
    shown.classList.toggle("hide", open);
  });
  return h("div", {}, line, tree);
}

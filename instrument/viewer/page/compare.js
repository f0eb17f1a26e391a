/**
 * Two requests side by side: runs are matched by the path of their names and their place among
 * runs of that name. A difference over a tenth is bold, never red or green: slower is no error.
 */

import {
  STATUS_WORDS, fact, fill, h, icon, isPhone, kindIcon, statusIcon, statusWord,
} from "./dom.js";
import {
  UNKNOWN, clock, count, durationEl, moment, money, signed, tokens,
} from "./format.js";
import { sideOf, wordDiff } from "./diff.js";
import { listHash } from "./filters.js";
import { Rows } from "./rows.js";
import { errorState } from "./states.js";

const BOLD_SHARE = 0.1;
const GUIDES = 10;
const HOLDERS = ["chain", "agent"];
const BAR_KINDS = {
  chat_model: "c-model", llm: "c-model", tool: "c-tool",
  retriever: "c-retriever", embedding: "c-retriever",
};

/** Runs with their children, the tops, and sums of tokens and cost below each. */
function gathered({ request, runs }) {
  const nodes = new Map(runs.map((run) => [run.run_id, { run, kids: [] }]));
  const tops = [];
  for (const run of [...runs].sort((a, b) => a.seq - b.seq)) {
    const above = nodes.get(run.parent_run_id);
    (above ? above.kids : tops).push(nodes.get(run.run_id));
  }
  for (const top of tops) sumUp(top);
  const end = Math.max(1, ...runs.map((run) => run.start_ms + (run.duration_ms ?? 0)));
  return { request, tops, end };
}

const plus = (a, b) => (b == null ? a : (a ?? 0) + b);

function sumUp(node) {
  const { run } = node;
  const own = !HOLDERS.includes(run.kind);
  const used = plus(plus(null, run.input_tokens), run.output_tokens);
  node.tokens = own ? used : null;
  node.cost = own ? run.cost_usd ?? null : null;
  for (const kid of node.kids) {
    sumUp(kid);
    node.tokens = plus(node.tokens, kid.tokens);
    node.cost = plus(node.cost, kid.cost);
  }
}

/** Children by name and ordinal: `search#2` is the second `search`. */
function placed(nodes) {
  const seen = new Map();
  return new Map(nodes.map((node) => {
    const ordinal = (seen.get(node.run.name) ?? 0) + 1;
    seen.set(node.run.name, ordinal);
    return [`${node.run.name}#${ordinal}`, node];
  }));
}

/** Places of both in one order: that of A, with what is only in B after its neighbour there. */
function mergedPlaces(a, b) {
  const order = [...a.keys()];
  let before = -1;
  for (const place of b.keys()) {
    const there = order.indexOf(place);
    if (there < 0) order.splice(++before, 0, place);
    else before = there;
  }
  return order;
}

/** All runs of both as rows `{path, depth, a?, b?}`, in the order of the tree. */
export function alignedRuns(aTops, bTops, depth = 0, above = "") {
  const a = placed(aTops);
  const b = placed(bTops);
  return mergedPlaces(a, b).flatMap((place) => {
    const row = { path: `${above}/${place}`, depth, a: a.get(place), b: b.get(place) };
    const below = [row.a?.kids ?? [], row.b?.kids ?? []];
    return [row, ...alignedRuns(...below, depth + 1, row.path)];
  });
}

const isSame = (from, to) => Math.abs(to - from) < 1e-9;
const weight = (from, to) =>
  Math.abs(to - from) > BOLD_SHARE * Math.max(from, to) ? "strong" : "dim";

function difference(from, to, write) {
  if (from == null || to == null) return h("span.dim", {}, UNKNOWN);
  if (isSame(from, to)) return h("span.dim", {}, "same");
  return h("span", { class: weight(from, to) }, signed(to - from, write));
}

const WRITTEN_MS = 0.0005; // half of the least that is written

/** The same for durations, whose units stand in a column of their own. */
function durationDifference(from, to) {
  const known = from != null && to != null;
  if (known && Math.abs(to - from) >= WRITTEN_MS) {
    const figure = durationEl(Math.abs(to - from));
    figure.prepend(to < from ? "−" : "+");
    figure.classList.add(weight(from, to));
    return figure;
  }
  return h("span.dim", {}, known ? "same" : UNKNOWN, h("span.unit", {}));
}

/** What a run has said or given, as text, and whether it is code. */
function textOf(run) {
  if (run.text) return [run.text, false];
  if (typeof run.outputs === "string") return [run.outputs, false];
  if (run.error) return [`${run.error.type}: ${run.error.message}`, false];
  const given = run.outputs ?? run.documents ?? run.tool_calls ?? run.vectors;
  return given == null ? ["", false] : [JSON.stringify(given, null, 2), true];
}

function barOf(node, side, end) {
  if (!node) return null;
  const { run } = node;
  const kind = BAR_KINDS[run.kind] ?? "box";
  const length = run.duration_ms ?? end - run.start_ms;
  return h("div.bar", {
    class: `${kind} ${run.status === "ok" ? "" : run.status} ${side}`,
    style: { left: `${(run.start_ms / end) * 100}%`, width: `${(length / end) * 100}%` },
  });
}

function remark({ a, b }) {
  if (!a) return "only in B";
  if (!b) return "only in A";
  if (a.run.status !== b.run.status) {
    const [from, to] = [a, b].map(({ run }) => STATUS_WORDS[run.status]);
    const bad = [a, b].some(({ run }) => run.status === "error");
    return h("span", { class: bad ? "err" : "" }, `${from} → ${to}`);
  }
  if (a.run.model !== b.run.model) {
    return `${a.run.model ?? "no model"} → ${b.run.model ?? "no model"}`;
  }
  return "";
}

const letter = (side) => h("span.ab", { class: side }, side.toUpperCase());

function headOf(side, { request, tops }) {
  const used = tops.reduce((sum, top) => plus(sum, top.tokens), null);
  const cost = tops.reduce((sum, top) => plus(sum, top.cost), null);
  const from = [clock(request.started_ms), request.model].filter(Boolean).join(", ");
  return h("div", {},
    h("div.name", {}, letter(side),
      h("a.strong", { href: `#/r/${request.trace_id}`, title: request.said }, request.name),
      h("span.dim.cut", { title: moment(request.started_ms) }, from)),
    h("dl.facts", {},
      fact("Duration", durationEl(request.duration_ms)),
      fact("Tokens", tokens(used)),
      fact("Cost", money(request.cost_usd ?? cost)),
      fact("Runs", count(request.runs)),
      fact("Errors", count(request.errors))));
}

const COMPARE_HEADS = [
  ["", "Run, matched by its path of names"],
  ["num", "A"],
  ["num", "B"],
  ["num", "B − A", ": time"],
  ["num c-x", "tokens"],
  ["num c-x", "cost"],
  ["c-x", "A above, B below, each from its own start"],
];

class Comparison {
  constructor(ctx, a, b) {
    this.ctx = ctx;
    this.a = gathered(a);
    this.b = gathered(b);
    this.end = Math.max(this.a.end, this.b.end) * 1.02;
    this.items = alignedRuns(this.a.tops, this.b.tops);
    this.at = this.firstChange();
    this.full = new Map();
    this.two = h("section.two", { "aria-label": "The selected run of both" });
    this.scroll = h("div.scroll", { role: "rowgroup", tabindex: "-1" });
    this.grid = h("section.grid.page", {
      role: "treegrid", tabindex: "0", "aria-label": "Runs of both requests",
      "aria-rowcount": this.items.length,
    }, this.headRow(), this.scroll);
    this.element = h("section.page.cmp", {},
      h("div.heads", {}, headOf("a", this.a), headOf("b", this.b)), this.grid, this.two);
    this.rows = new Rows(this.scroll, () => (isPhone() ? 44 : 28), (item, i) => this.row(item, i));
    this.rows.set(this.items);
    this.drawBelow();
  }

  /** The first answer that differs in model or status, else the first run below the root. */
  firstChange() {
    const differs = ({ a, b }) => a && b && a.run.model !== b.run.model && a.run.model;
    const found = this.items.findIndex(differs);
    return found >= 0 ? found : Math.max(0, this.items.findIndex((item) => this.isChanged(item)));
  }

  isChanged({ a, b }) {
    return Boolean(a && b && a.run.status !== b.run.status);
  }

  headRow() {
    return h("div.head.cols", { role: "row" }, COMPARE_HEADS.map(([classes, label, more]) =>
      h("div", { class: classes, role: "columnheader", title: label },
        label, more && h("span.w-md", {}, more))));
  }

  row(item, index) {
    const { a, b } = item;
    const { run } = a ?? b;
    const trouble = [a, b].find((node) => node && node.run.status !== "ok");
    const cells = [
      durationEl(a?.run.duration_ms), durationEl(b?.run.duration_ms),
      durationDifference(a?.run.duration_ms, b?.run.duration_ms),
      difference(a?.tokens, b?.tokens, tokens), difference(a?.cost, b?.cost, money),
    ];
    return h("div.rowx.cols", {
      role: "row", id: `pair-${index}`, "aria-level": item.depth + 1,
      "aria-rowindex": index + 1, "aria-selected": String(index === this.at),
      onclick: () => this.select(index),
    },
    h("div.cell", { role: "gridcell" },
      h("span.guides", {}, Array.from({ length: Math.min(item.depth, GUIDES) }, () => h("i"))),
      trouble ? statusIcon(trouble.run.status) : kindIcon(run.kind),
      h("span.nm.cut", { class: a && b ? "" : "dim", title: run.name }, run.name),
      h("span.what.cut", {}, remark(item))),
    cells.map((content, i) =>
      h("div.num", { class: i > 2 ? "c-x" : "", role: "gridcell" }, content)),
    h("div.lane.c-x", { role: "gridcell" }, barOf(a, "a", this.end), barOf(b, "b", this.end)));
  }

  select(index) {
    const to = Math.max(0, Math.min(this.items.length - 1, index));
    const from = this.at;
    this.at = to;
    this.rows.redrawRow(from);
    this.rows.redrawRow(to);
    this.rows.show(to);
    this.grid.setAttribute("aria-activedescendant", `pair-${to}`);
    this.drawBelow();
  }

  nextChange(step) {
    const { length } = this.items;
    for (let n = 1; n <= length; n++) {
      const index = (((this.at + n * step) % length) + length) % length;
      if (this.isChanged(this.items[index])) return this.select(index);
    }
    return null;
  }

  async whole(node) {
    if (!node) return null;
    const id = node.run.run_id;
    if (!this.full.has(id)) this.full.set(id, this.ctx.source.run(id));
    return this.full.get(id);
  }

  async drawBelow() {
    const item = this.items[this.at];
    if (!item) return;
    try {
      const runs = await Promise.all([this.whole(item.a), this.whole(item.b)]);
      if (item === this.items[this.at]) this.drawTexts(item, runs);
    } catch (error) {
      this.full.clear();
      fill(this.two, errorState(error));
    }
  }

  drawTexts(item, runs) {
    const [[aText, aCode], [bText, bCode]] = runs.map((run) => (run ? textOf(run) : ["", false]));
    const steps = runs[0] && runs[1] ? wordDiff(aText, bText) : null;
    const tooLong = runs[0] && runs[1] && !steps;
    const marked = (other, mark) =>
      sideOf(steps, other).map(([changed, text]) => (changed ? h(mark, {}, text) : text));
    const { a, b } = item;
    fill(this.two,
      this.side("a", a, steps ? marked("+", "del") : aText, aCode || bCode, tooLong),
      this.side("b", b, steps ? marked("-", "ins") : bText, aCode || bCode, tooLong));
  }

  side(side, node, content, code, tooLong) {
    if (!node) {
      return h("div", {}, h("div.name", {}, letter(side),
        h("span.dim", {}, "not in this request")));
    }
    const { run } = node;
    const { trace_id: id } = this[side].request;
    const empty = !content.length;
    return h("div", {},
      h("div.name", {}, letter(side),
        h("a.strong", { href: `#/r/${id}/${run.run_id}`, title: "Open this run" }, run.name),
        h("span.dim.cut", {}, run.model ?? ""), h("span.grow"), statusWord(run.status)),
      tooLong ? h("div.note", {}, "Too long to be compared word by word.") : null,
      empty ? h("p.dim", {}, "Nothing was returned.")
        : h("div.pre", { class: code ? "mono" : "read" }, content));
  }

  open() {
    const node = this.items[this.at].a ?? this.items[this.at].b;
    const { trace_id: id } = (this.items[this.at].a ? this.a : this.b).request;
    this.ctx.go(`#/r/${id}/${node.run.run_id}`);
  }
}

/** Two requests side by side, those of the route. */
export function compareView(ctx) {
  const { a, b } = ctx.route;
  const element = h("section.page", { "aria-label": "Side by side" });
  const list = listHash(ctx.memory.q ?? "");
  const back = h("a.btn.square.back", { href: list, "aria-label": "All requests" }, icon("left"));
  ctx.bar([h("a.w-md.mid", { href: list }, "Requests"),
    h("span.name", {}, back, h("span.strong", {}, "Side by side"))], [
    h("a.btn", { href: `#/vs/${b}/${a}`, title: "B becomes A, A becomes B (s)" }, "Swap"),
  ]);
  let shown = null;
  let closed = false;
  Promise.all([ctx.source.request(a), ctx.source.request(b)]).then(
    ([first, second]) => {
      if (closed) return;
      shown = new Comparison(ctx, first, second);
      fill(element, shown.element);
    },
    (error) => fill(element, errorState(error)),
  );
  const move = (by) => () => shown?.select(shown.at + by);
  const keys = {
    j: move(1), k: move(-1), ArrowDown: move(1), ArrowUp: move(-1),
    e: () => shown?.nextChange(1), E: () => shown?.nextChange(-1),
    Enter: () => shown?.open(), s: () => ctx.go(`#/vs/${b}/${a}`),
    Escape: () => ctx.go(list),
  };
  const close = () => {
    closed = true;
    shown?.rows.close();
  };
  return { element, keys, close };
}

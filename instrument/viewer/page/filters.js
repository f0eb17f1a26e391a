/**
 * The filter: one line of words that stands in the URL, and buttons that put words into it.
 * What the words mean is decided by the store; here they are only put in and taken out.
 */

import { fill, h, icon, kindIcon } from "./dom.js";
import { count } from "./format.js";

const TYPED_MS = 180; // typing pauses that long before the store is asked
export const SLOW = "duration:>5s";
const STATUS_BUTTONS = [
  ["Running", "status:running", "running"],
  ["Failed", "status:error", "error"],
];
const KIND_ORDER = ["agent", "chain", "chat_model", "llm", "tool", "retriever", "embedding"];

/** The words of a filter; what stands in quotes is one word. */
export function filterWords(q) {
  return q.match(/(?:[^\s"]|"[^"]*"?)+/g) ?? [];
}

/** A filter with one word put in, or taken out if it is there; of one key there is only one. */
export function toggledWord(q, word) {
  const words = filterWords(q);
  if (words.includes(word)) return words.filter((other) => other !== word).join(" ");
  const key = word.slice(0, word.indexOf(":") + 1);
  return [...words.filter((other) => !other.startsWith(key)), word].join(" ");
}

/** A word that matches one value exactly as it is written: `name:"two words"`. */
export function exactWord(key, value) {
  const bare = String(value).replaceAll('"', "");
  return /[\s"]/.test(value) ? `${key}:"${bare}"` : `${key}:${bare}`;
}

/** The hash of the list, or of the table by name, under a filter. */
export function listHash(q, view = "list") {
  const path = view === "names" ? "#/names" : "#/";
  return q.trim() ? `${path}?q=${encodeURIComponent(q.trim())}` : path;
}

export class FilterBar {
  /** `onchange(q)` is called once typing pauses, and at once by a button. */
  constructor(ctx, onchange) {
    this.ctx = ctx;
    this.q = ctx.route.q;
    this.onchange = onchange;
    this.counts = null;
    this.timer = 0;
    this.input = h("input", {
      type: "search", value: this.q, spellcheck: "false", autocomplete: "off",
      placeholder: "Search, or user:ada  model:gpt  duration:>2s  cost:>0.01  -tag:eu",
      "aria-label": "Search requests", oninput: () => this.typed(),
    });
    this.field = h("label.search", {}, icon("search"), this.input, h("kbd.w-md", {}, "/"));
    this.statuses = h("div.seg", { role: "group", "aria-label": "Status" });
    this.kinds = h("div.seg.kinds", { role: "group", "aria-label": "Kind" });
    this.views = h("div.seg.views", { role: "group", "aria-label": "View" });
    this.wrong = h("div.wrong-line", { role: "status", hidden: true });
    const buttons = h("div.segs", {}, this.statuses, this.kinds, h("span.grow"), this.views);
    const bar = h("div.filters", { role: "search" }, this.field, buttons);
    this.element = h("div.filter-area", {}, bar, this.wrong);
    this.draw();
  }

  focus() {
    this.input.focus();
    this.input.select();
  }

  typed() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.set(this.input.value, true), TYPED_MS);
  }

  /** Forget what was typed a moment ago: the view is left. */
  close() {
    clearTimeout(this.timer);
  }

  /** Filter by `q`; the field keeps what is being typed into it. */
  set(q, typing = false) {
    clearTimeout(this.timer);
    this.q = q.trim();
    if (!typing) this.input.value = this.q;
    this.ctx.memory.q = this.q;
    this.ctx.note(listHash(this.q, this.ctx.route.name));
    this.draw();
    this.onchange(this.q);
  }

  /** Say how many there are of what a button would show: a summary of everything. */
  setCounts(all, slow) {
    this.counts = { all, slow };
    this.draw();
  }

  /** Say what is wrong with the filter; null takes it back. */
  setError(error) {
    this.field.classList.toggle("wrong", Boolean(error));
    this.wrong.hidden = !error;
    fill(this.wrong, error && [h("span.err", {}, error.message), error.cure && ` ${error.cure}`]);
  }

  button(label, number, word, properties = {}) {
    const pressed = filterWords(this.q).includes(word);
    return h("button.btn", {
      type: "button", "aria-pressed": String(pressed),
      onclick: () => this.set(toggledWord(this.q, word)), ...properties,
    }, label, number == null ? null : h("span.n", {}, count(number)));
  }

  draw() {
    const all = this.counts?.all;
    fill(this.statuses,
      this.button("All", all?.total, "", {
        "aria-pressed": String(!this.q), onclick: () => this.set(""),
      }),
      STATUS_BUTTONS.map(([label, word, status]) =>
        this.button(label, all && (all.by_status?.[status] ?? 0), word)),
      this.button("Over 5 s", this.counts?.slow, SLOW));
    fill(this.kinds, this.kindButtons(all?.by_kind ?? {}));
    const { name } = this.ctx.route;
    fill(this.views, [["list", "Requests"], ["names", "By name"]].map(([view, label]) =>
      h("a.btn", {
        href: listHash(this.q, view), "aria-current": view === name ? "page" : null,
      }, label)));
  }

  kindButtons(byKind) {
    const known = Object.keys(byKind).filter((kind) => byKind[kind] && !KIND_ORDER.includes(kind));
    const kinds = [...KIND_ORDER.filter((kind) => byKind[kind]), ...known];
    if (kinds.length < 2) return [];
    return kinds.map((kind) => {
      const words = `Only ${kind.replace("_", " ")} (${count(byKind[kind])})`;
      return this.button(kindIcon(kind), byKind[kind], `kind:${kind}`, {
        title: words, "aria-label": words,
      });
    });
  }
}

/**
 * What was said: messages as bubbles, the answer as it is or as it arrives, tool calls as
 * signatures, documents as they were found.
 */
import { h, icon, plain, statusIcon, STATUS_WORDS } from "./dom.js";
import { count, counted, duration } from "./format.js";
import { beginning, copyButton, jsonTree, longText, sizeOf } from "./json.js";
import { isModel } from "./lanes.js";

const CLAMPED = 220;
const LONG_MESSAGE = 4000;
const LONG_SIGNATURE = 400;
const LONG_DOCUMENT = 260;
const DOCUMENTS_FIRST = 100;

/** A part of the detail: a heading, perhaps with buttons, and what stands below it. */
export function section(title, ...kids) {
  return h("section.sec", {}, title ? h("h3", {}, title) : null, ...kids);
}

/** What a message says as text, and the parts of it that are no text. */
function contentOf(content) {
  if (content == null) return { text: "", others: [] };
  if (typeof content === "string") return { text: content, others: [] };
  const parts = Array.isArray(content) ? content : [content];
  const isText = (part) => typeof (part?.text ?? part) === "string";
  const texts = parts.filter(isText).map((part) => part.text ?? part);
  return { text: texts.join("\n"), others: parts.filter((part) => !isText(part)) };
}

/** One message: its role above, what it says in a bubble that takes its text's direction. */
export function bubble(message, { answer = false, aside = "" } = {}) {
  const { text, others } = contentOf(message.content);
  const role = String(message.role ?? "");
  const who = h("div.who", {}, h("b", {}, role || "message"));
  if (message.name) who.append(h("span.mono", {}, message.name));
  if (aside) who.append(h("span", {}, aside));
  const known = ["system", "user", "tool", "assistant"].includes(role) ? role : "";
  const element = h("div.msg", { class: `${known} ${answer ? "answer" : ""}` }, who);
  if (text || !(others.length || message.tool_calls?.length)) {
    const said = h("div.bubble", { dir: "auto" });
    if (role === "system" && text.length > CLAMPED) clamp(said, who, text);
    else longText(said, text, LONG_MESSAGE);
    element.append(said);
  }
  if (others.length) element.append(h("div.well", {}, others.map((part) => jsonTree(part))));
  const calls = message.tool_calls ?? [];
  if (calls.length) {
    element.append(h("div.calls", {}, calls.map((call) => h("div.call", {}, signature(call)))));
  }
  return element;
}

/** Three lines of a system prompt; the rest can be opened beside its role. */
function clamp(said, who, text) {
  const shown = h("div.clamp", {}, beginning(text, LONG_MESSAGE));
  const label = `Show all ${sizeOf(text)}`;
  const button = h("button.more", { "aria-expanded": "false" }, label);
  button.addEventListener("click", () => {
    const open = shown.classList.toggle("clamp") === false;
    shown.textContent = plain(open ? text : beginning(text, LONG_MESSAGE));
    button.textContent = open ? "Show less" : label;
    button.setAttribute("aria-expanded", String(open));
  });
  who.append(button);
  said.append(shown);
}

/** Arguments as an object; some providers tell them as a text of JSON. */
function argumentsOf(call) {
  if (typeof call.arguments !== "string") return call.arguments ?? {};
  try {
    return JSON.parse(call.arguments);
  } catch {
    return call.arguments;
  }
}

/** A call as it would be written: `fetch_invoice(order_id="A-1042")`. */
export function signature(call) {
  const args = argumentsOf(call);
  const given = args !== null && typeof args === "object" && !Array.isArray(args);
  if (given && JSON.stringify(args).length > LONG_SIGNATURE) {
    return h("div.sig", {}, h("b", {}, call.name), "(…)", jsonTree(args, "arguments"));
  }
  const value = (one) => h("span.arg", {}, JSON.stringify(one));
  const told = given
    ? Object.entries(args).map(([key, one], i) => [i ? ", " : "", key, "=", value(one)])
    : value(args);
  return h("div.sig", {}, h("b", {}, call.name), "(", told, ")");
}

/** Which run a tool call of this model became: the next of that name, one after the other. */
function runsOfCalls(tree, run, calls) {
  const taken = new Set();
  const after = tree.runs.filter((one) => one.seq > run.seq && !isModel(one));
  return calls.map((call) => {
    if (call.server) return undefined;
    const found = after.find((one) => one.name === call.name && !taken.has(one));
    if (found) taken.add(found);
    return found;
  });
}

/** The tool calls of an answer, each with a link to the run that it became. */
export function toolCalls(tree, run, calls, open) {
  const runs = runsOfCalls(tree, run, calls);
  return h("div.calls", {}, calls.map((call, i) => {
    const note = call.server ? h("div.ran", {}, "the provider ran it") : null;
    return h("div.call", {}, signature(call), runs[i] ? ranLink(tree, runs[i], open) : note);
  }));
}

function ranLink(tree, ran, open) {
  const how = ran.error_type
    ? h("span.err", {}, ran.error_type.split(".").pop())
    : STATUS_WORDS[ran.status];
  const took = ran.duration_ms != null ? `after ${duration(ran.duration_ms)}` : "";
  return h(
    "button.ran",
    { onclick: () => open(ran.run_id) },
    statusIcon(ran.status),
    how,
    h("span", {}, took),
    h("span.grow"),
    "open the run",
    icon("right"),
  );
}

/** The answer of a model; `take` adds what arrives, once a frame, to one text node a channel. */
export class Answer {
  constructor(run, { scroll }) {
    this.run = run;
    this.scroll = scroll;
    this.running = run.status === "running";
    this.pending = new Map();
    this.nodes = new Map();
    this.element = h("div.msgs", {});
    if (run.reasoning || this.running) this.addReasoning();
    if (run.text || this.running) this.addText();
  }

  addReasoning() {
    const { run } = this;
    const spent = run.reasoning_tokens ? `, ${counted(run.reasoning_tokens, "token")}` : "";
    this.thinking = h(
      "details.fold",
      { open: this.running, class: run.reasoning ? "" : "hide" },
      h("summary", {}, icon("right"), "Reasoning", spent),
      h("div.think", { dir: "auto" }, this.node("reasoning", run.reasoning)),
    );
    this.element.append(this.thinking);
  }

  addText() {
    const { run, running } = this;
    this.waiting = running && !run.text ? h("span.dim", {}, " waiting for the first token") : null;
    this.element.append(
      h(
        "div.msg.assistant.answer",
        {},
        h("div.who", {}, h("b", {}, "assistant"), h("span", {}, run.model)),
        h(
          "div.bubble",
          { dir: "auto" },
          h("span.arriving", {}, this.node("text", run.text)),
          running ? h("span.caret") : null,
          this.waiting,
        ),
      ),
    );
  }

  node(channel, text) {
    const node = document.createTextNode(plain(text ?? ""));
    this.nodes.set(channel, node);
    return node;
  }

  /** Take a piece that has arrived; it is on the page with the next frame. */
  take(channel, text) {
    if (!this.nodes.has(channel)) return;
    this.pending.set(channel, (this.pending.get(channel) ?? "") + text);
    this.frame ??= requestAnimationFrame(() => this.flush());
  }

  flush() {
    this.frame = null;
    const { scroll } = this;
    const atEnd = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 40;
    for (const [channel, text] of this.pending) {
      const half = /[\ud800-\udbff]$/.test(text) ? text.at(-1) : "";
      this.nodes.get(channel).appendData(plain(half ? text.slice(0, -1) : text));
      this.pending.set(channel, half);
      if (channel === "reasoning") this.thinking.classList.remove("hide");
      if (channel === "text") this.waiting?.remove();
    }
    if (atEnd) scroll.scrollTop = scroll.scrollHeight;
  }
}

function documentName(document) {
  const { metadata = {} } = document;
  const name = metadata.source ?? metadata.name ?? metadata.title ?? document.id ?? "document";
  return String(name);
}

function documentElement(document, place) {
  const score = document.score ?? document.metadata?.score;
  const text = String(document.page_content ?? document.text ?? document.content ?? "");
  const rest = Object.entries(document.metadata ?? {}).filter(
    ([key, value]) => key !== "score" && value !== documentName(document),
  );
  return h(
    "div.doc",
    {},
    h("span.dim", {}, place),
    h("span.t.cut", { title: documentName(document) }, documentName(document)),
    h("span.dim", { title: "score" }, typeof score === "number" ? score.toFixed(3) : ""),
    longText(h("div.x", { dir: "auto" }), text, LONG_DOCUMENT),
    rest.length ? h("div.x", {}, chips(rest)) : null,
  );
}

/** What a retriever found, a hundred at first. */
export function documentsSection(documents) {
  const list = h("div");
  const add = (from, to) => {
    const some = documents.slice(from, to);
    list.append(...some.map((one, i) => documentElement(one ?? {}, from + i + 1)));
  };
  add(0, DOCUMENTS_FIRST);
  const left = documents.length - DOCUMENTS_FIRST;
  if (left > 0) {
    const more = h("button.more", {}, `Show ${count(left)} more`);
    more.addEventListener("click", () => {
      more.remove();
      add(DOCUMENTS_FIRST, documents.length);
    });
    list.append(more);
  }
  return section([counted(documents.length, "document"), copyButton(documents)], list);
}

/** Short facts side by side: `temperature 0.3`. */
export function chips(pairs) {
  const chip = ([key, value]) => {
    const text = typeof value === "string" ? value : JSON.stringify(value);
    const short = text.length > 120 ? `${beginning(text, 120)}…` : text;
    const title = text.length > 120 ? text : null;
    return h("span.chip", { title }, key === "" ? null : h("span.dim", {}, key), short);
  };
  return h("div.chips", {}, pairs.map(chip));
}

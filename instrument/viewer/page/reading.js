/**
 * What one reads of a run: its error first, then what was asked and answered in the form of its
 * kind, then what is below it and what hangs on it.
 */
import {
  copyText, h, icon, kindIcon, STATUS_MEANINGS, STATUS_WORDS, statusIcon,
} from "./dom.js";
import {
  bytes, count, duration, durationEl, money, percentile, tokens, UNKNOWN,
} from "./format.js";
import {
  Answer, bubble, chips, documentsSection, section, signature, toolCalls,
} from "./conversation.js";
import { copyButton, jsonTree, longText } from "./json.js";
import { isModel } from "./lanes.js";
import { errorBox } from "./traceback.js";

const ERRORS_TOLD = 5;
const LONG_ARGUMENTS = 400;
const QUESTION_FIELDS = ["question", "query", "input", "prompt", "text", "message", "user_input"];
const ANSWER_FIELDS = ["answer", "output", "text", "result", "response"];

const isEmpty = (value) =>
  value == null || (typeof value === "object" && Object.keys(value).length === 0);

const areMessages = (value) =>
  Array.isArray(value) && value.length > 0
  && value.every((one) => typeof one?.role === "string" && "content" in one);

/** The parts of one run; `arriving` is the answer that still grows, if it does. */
export class Reading {
  constructor({ run, tree, whole, open, scroll }) {
    Object.assign(this, { run, tree, whole, open, scroll });
    this.arriving = null;
  }

  /** Everything that one reads of a run, from its error to its tags. */
  parts() {
    const { run, whole, tree } = this;
    const kinds = { tool: this.readTool, retriever: this.readRetriever };
    const by = isModel(run) ? this.readModel : kinds[run.kind];
    return [
      this.error(),
      STATUS_MEANINGS[run.status] && ["cancelled", "abandoned", "lost"].includes(run.status)
        ? h("div.note", {}, `${STATUS_WORDS[run.status]}: ${STATUS_MEANINGS[run.status]}.`)
        : null,
      this.retries(),
      (by ?? this.readOther).call(this),
      (whole.cut ?? []).map(cutNote),
      tree.childrenOf.has(run.run_id) ? [this.failedBelow(), this.models()] : null,
      this.emitted(),
      this.tags(),
    ];
  }

  error() {
    const { run, whole, tree } = this;
    const error = whole.error ?? (run.error_type && {
      type: run.error_type, message: run.error_message ?? "", origin: run.origin,
    });
    if (!error) return null;
    const passed = !(error.origin ?? run.origin);
    const below = passed ? tree.below(run).filter((one) => one.origin) : [];
    const began = below.find((one) => one.error_type === error.type) ?? below[0];
    const copy = (text) => copyText(text, "Copied the traceback");
    return errorBox(error, { began, open: this.open, copy });
  }

  retries() {
    const events = (this.whole.events ?? []).filter((one) => one.event === "on_retry");
    const marks = (this.run.marks ?? []).filter((mark) => mark.kind === "retry");
    const note = ({ at_ms, data = {} }) => {
      const at = duration(at_ms);
      const after = data.attempt == null ? "" : `, after attempt ${data.attempt}`;
      const why = [data.type, data.message].filter(Boolean).join(": ");
      return h("div.note", {}, `Retry at ${at}${after}${why && `: ${why}`}`);
    };
    return (events.length ? events : marks).map(note);
  }

  readModel() {
    const { run, whole, tree } = this;
    const running = run.status === "running";
    const prompts = (whole.prompts ?? []).map((content) => ({ role: "prompt", content }));
    const messages = [...(whole.messages ?? []), ...prompts].flat();
    const answer = new Answer(whole, { scroll: this.scroll });
    if (running) this.arriving = answer;
    const calls = whole.tool_calls ?? [];
    if (calls.length) answer.element.append(toolCalls(tree, run, calls, this.open));
    const outputs = !isEmpty(whole.outputs) && !whole.text && !calls.length
      ? this.value("Outputs", whole.outputs, "outputs")
      : null;
    const title = running ? "Answer, arriving" : "Answer";
    if (answer.element.hasChildNodes()) answer.element.prepend(h("div.rule", {}, title));
    return [
      h("div.msgs", {}, messages.map((message) => bubble(message))),
      answer.element.hasChildNodes() ? answer.element : null,
      outputs,
      this.askedWith(),
    ];
  }

  askedWith() {
    const { run, whole } = this;
    const scalar = ([, value]) => value === null || typeof value !== "object";
    const params = Object.entries(whole.params ?? {});
    const told = params.filter(scalar);
    if (run.provider ?? whole.provider) told.unshift(["provider", run.provider ?? whole.provider]);
    if (run.finish) told.push(["finished by", run.finish]);
    const others = params.filter((pair) => !scalar(pair));
    if (!told.length && !others.length) return null;
    return section(
      "Asked with",
      told.length ? chips(told) : null,
      others.length
        ? h("div.well", {}, jsonTree(Object.fromEntries(others), "params"))
        : null,
    );
  }

  readTool() {
    const { run, whole } = this;
    const args = whole.inputs ?? {};
    const long = typeof args !== "object" || JSON.stringify(args).length > LONG_ARGUMENTS;
    const shown = long
      ? h("div.well", {}, jsonTree(args, "inputs"))
      : h("div.call", {}, signature({ name: run.name, arguments: args }));
    return [
      section(["Called with", copyButton(args)], shown),
      this.outcome("Result", "Still running: no result yet."),
    ];
  }

  readRetriever() {
    const { run, whole } = this;
    const query = whole.query ?? whole.inputs;
    return [
      typeof query === "string"
        ? section("Query", longText(h("div.read", { dir: "auto" }), query))
        : this.value("Inputs", query, "inputs"),
      whole.documents ? documentsSection(whole.documents) : null,
      !whole.documents && run.status === "running" ? h("p.dim", {}, "Still searching.") : null,
      !whole.documents && !isEmpty(whole.outputs)
        ? this.value("Outputs", whole.outputs, "outputs")
        : null,
    ];
  }

  readOther() {
    const { run, whole } = this;
    const asked = spoken(whole.inputs, QUESTION_FIELDS);
    const answered = typeof whole.outputs === "string"
      ? { text: whole.outputs, rest: {} }
      : spoken(whole.outputs, ANSWER_FIELDS);
    const talks = asked && (answered || (isEmpty(whole.outputs) && run.status === "running"));
    if (!talks) return this.inAndOut();
    const answer =
      answered && bubble({ role: "assistant", content: answered.text }, { answer: true });
    return [
      h(
        "div.msgs",
        {},
        bubble({ role: "user", content: asked.text }),
        answer ?? h("p.dim", {}, "No answer yet. What runs now is marked in the tree."),
      ),
      isEmpty(asked.rest) ? null : this.value("Other inputs", asked.rest, "inputs"),
      isEmpty(answered?.rest) ? null : this.value("Other outputs", answered.rest, "outputs"),
    ];
  }

  inAndOut() {
    const { whole } = this;
    const { texts, vectors } = whole;
    return [
      isEmpty(whole.messages) ? null : h("div.msgs", {}, whole.messages.map((one) => bubble(one))),
      isEmpty(whole.inputs) ? null : this.value("Inputs", whole.inputs, "inputs"),
      isEmpty(whole.query) ? null : this.value("Query", whole.query, "query"),
      isEmpty(texts) ? null : this.value("Texts", texts, "texts"),
      isEmpty(vectors) ? null : this.value("Vectors", vectors, "vectors"),
      isEmpty(whole.params) ? null : this.askedWith(),
      this.outcome("Outputs", "Still running: no outputs yet."),
    ];
  }

  outcome(title, waiting) {
    const { outputs } = this.whole;
    if (outputs !== undefined && outputs !== null) return this.value(title, outputs, "outputs");
    return this.run.status === "running" ? section(title, h("p.dim", {}, waiting)) : null;
  }

  /** A value with its heading: text is read, messages are bubbles, anything else is a tree. */
  value(title, value, path) {
    const head = [title, copyButton(value)];
    if (typeof value === "string") {
      return section(head, longText(h("div.read", { dir: "auto" }), value));
    }
    if (areMessages(value)) {
      return section(head, h("div.msgs", {}, value.map((one) => bubble(one))));
    }
    if (areMessages(value.messages)) {
      const { messages, ...rest } = value;
      const others = isEmpty(rest) ? null : h("div.well", {}, jsonTree(rest, path));
      return section(head, h("div.msgs", {}, messages.map((one) => bubble(one))), others);
    }
    return section(head, h("div.well", {}, jsonTree(value, path)));
  }

  failedBelow() {
    const { run, tree } = this;
    if (run.status === "error") return null;
    const failed = tree.below(run).filter((one) => one.origin);
    if (!failed.length) return null;
    const link = (one) =>
      h(
        "button.ran.alone",
        { onclick: () => this.open(one.run_id) },
        statusIcon("error"),
        h("span.strong.ink.cut", {}, one.name),
        h("span.err.cut", {}, [one.error_type, one.error_message].filter(Boolean).join(": ")),
        h("span.grow"),
        icon("right"),
      );
    const box = (one) => h("div.call", {}, link(one));
    const list = h("div.calls", {}, failed.slice(0, ERRORS_TOLD).map(box));
    if (failed.length > ERRORS_TOLD) {
      const more = h("button.more", {}, `Show ${count(failed.length - ERRORS_TOLD)} more`);
      more.addEventListener("click", () => more.replaceWith(...failed.slice(ERRORS_TOLD).map(box)));
      list.append(more);
    }
    const went = run.status === "running" ? "goes" : "went";
    const title = `Failed below; the call ${went} on`;
    return section(title, list);
  }

  models() {
    const rows = modelRows(this.tree.below(this.run));
    if (!rows.length) return null;
    const head = ["Run", "Model", "First token", "In", "Out", "Cost"];
    const row = (one) =>
      h(
        "tr.lk",
        { onclick: () => this.open(one.first.run_id) },
        h(
          "td",
          {},
          h(
            "button.name",
            {},
            one.status === "ok" ? kindIcon(one.first.kind) : statusIcon(one.status),
            h("span.cut", { title: one.first.name }, one.first.name),
            one.count > 1 ? h("span.dim", {}, `× ${count(one.count)}`) : null,
          ),
        ),
        h("td.dim", {}, h("div.cut", { title: one.first.model }, one.first.model ?? UNKNOWN)),
        h("td.num", {}, durationEl(one.firstToken)),
        h("td.num", {}, tokens(one.input)),
        h("td.num", {}, tokens(one.output)),
        h("td.num", {}, money(one.cost)),
      );
    const heads = head.map((label, i) => h("th", { class: i > 1 ? "num" : "" }, label));
    return section(
      "Models",
      h("div.wide", {}, h("table.mini", {}, h("thead", {}, h("tr", {}, heads)),
        h("tbody", {}, rows.map(row)))),
    );
  }

  emitted() {
    const { run, whole } = this;
    const told = (whole.events ?? []).filter((one) => one.event === "on_custom_event");
    const marks = (run.marks ?? []).filter((mark) => mark.kind === "custom");
    if (!marks.length && !told.length) return null;
    const all = told.length
      ? told.map(({ at_ms, data }) => ({ at_ms, name: data?.name, data: data?.data ?? data }))
      : marks;
    const one = ({ at_ms, name, data }) =>
      h(
        "div.well",
        {},
        h("span.strong", {}, name ?? "event"),
        h("span.dim", {}, ` at ${duration(run.start_ms + at_ms)}`),
        data === undefined ? null : jsonTree(data, "data"),
      );
    return section("Emitted", h("div.calls", {}, all.slice(0, 50).map(one)));
  }

  tags() {
    const { tags = [], metadata = {} } = this.whole;
    const pairs = [...tags.map((tag) => ["", tag]), ...Object.entries(metadata)];
    return pairs.length ? section("Tags and metadata", chips(pairs)) : null;
  }
}

/** The text of what was asked or answered among the fields of a dict, and the other fields. */
function spoken(value, fields) {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return null;
  const said = fields.find((field) => typeof value[field] === "string");
  if (!said) return null;
  const { [said]: text, ...rest } = value;
  return { text, rest };
}

function cutNote({ path, recorded, whole }) {
  const size = (n) => (typeof n === "number" ? bytes(n) : n);
  const known = whole != null;
  const what = known ? `Recorded ${size(recorded)} of ${size(whole)}` : "Not all was recorded";
  return h("div.note", {}, `${what}: field ${path} was cut when it was stored.`);
}

/** Models of one name are one line. */
function modelRows(runs) {
  const by = new Map();
  for (const run of runs.filter(isModel)) {
    const key = `${run.name}\n${run.model}`;
    if (!by.has(key)) by.set(key, []);
    by.get(key).push(run);
  }
  const sum = (list, field) => {
    const known = list.map((run) => run[field]).filter((n) => n != null);
    return known.length ? known.reduce((a, b) => a + b, 0) : null;
  };
  return [...by.values()].map((list) => ({
    first: list[0],
    count: list.length,
    status: list.find((run) => run.status !== "ok")?.status ?? "ok",
    firstToken: percentile(list.map((run) => run.first_token_ms).filter((n) => n != null), 0.5),
    input: sum(list, "input_tokens"),
    output: sum(list, "output_tokens"),
    cost: sum(list, "cost_usd"),
  }));
}

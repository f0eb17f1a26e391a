/** Keys and legend, in a dialog that opens over any view. */

import { STATUS_MEANINGS, STATUS_WORDS, h, icon, kindIcon } from "./dom.js";

const KEYS = [
  ["j k", "next, previous row"],
  ["/", "search or find"],
  ["← →", "close or go up, open or go in"],
  ["e E", "next, previous error"],
  ["Enter", "open; into the detail"],
  ["1 2 3", "read, JSON, events"],
  ["x", "pick for side by side"],
  ["h", "hide runs of this name"],
  ["f", "follow what runs"],
  ["0", "whole time again"],
  ["Esc", "one step back"],
  ["?", "this page"],
];
const KIND_WORDS = [
  ["agent", "agent"],
  ["chain", "chain"],
  ["chat_model", "chat model"],
  ["llm", "text model"],
  ["tool", "tool"],
  ["retriever", "retriever"],
  ["embedding", "embedding"],
];
const ENDED_EARLY = ["cancelled", "abandoned", "lost"];
const BARS = [
  ["box", "holds others"],
  ["c-model", "pale: no token yet"],
  ["c-tool error", "failed"],
  ["c-tool cancelled", "broken off"],
  ["c-retriever group", "many, folded"],
];

function sampleBar(classes) {
  const wait = classes === "c-model" ? h("i.wait", { style: { width: "40%" } }) : null;
  return h("span.sample", {}, h("i.bar", { class: classes }, wait));
}

function statusLine(status) {
  const more = ENDED_EARLY.includes(status) ? `: ${STATUS_MEANINGS[status].split(";")[0]}` : "";
  return h("span", { class: `s-${status}` }, icon(status),
    h("span.tx", {}, STATUS_WORDS[status] + more));
}

/** Open the dialog; Esc, its button or a click beside it closes it. */
export function showHelp(app) {
  const close = h("button.btn.square", {
    type: "button", "aria-label": "Close", onclick: () => dialog.close(),
  }, icon("x"));
  const keys = KEYS.flatMap(([names, words]) => [
    h("dt", {}, names.split(" ").map((name) => h("kbd", {}, name))), h("dd", {}, words)]);
  const dialog = h("dialog", {
    "aria-label": "Keys and legend", onclose: () => dialog.remove(),
    onclick: (event) => event.target === dialog && dialog.close(),
  },
  h("div.inside", {},
    h("h2", {}, "Keys", h("span.grow"), close),
    h("dl.keys", {}, keys),
    h("div.legend", {},
      h("div", {}, h("h3", {}, "Kinds"),
        KIND_WORDS.map(([kind, words]) => h("span", {}, kindIcon(kind), words))),
      h("div", {}, h("h3", {}, "Statuses"), Object.keys(STATUS_WORDS).map(statusLine)),
      h("div", {}, h("h3", {}, "Bars and marks"),
        BARS.map(([classes, words]) => h("span", {}, sampleBar(classes), words)),
        h("span", {}, h("span.ctr.s-lost", {}, icon("retry")), "retry"),
        h("span", {}, h("span.ctr", {}, icon("custom")), "emitted event")))));
  app.append(dialog);
  dialog.showModal();
}

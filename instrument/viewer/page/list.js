import { h } from "./dom.js";

export function listView() {
  return { element: h("div.page"), keys: {}, close() {} };
}

import { h } from "./dom.js";

export function namesView() {
  return { element: h("div.page"), keys: {}, close() {} };
}

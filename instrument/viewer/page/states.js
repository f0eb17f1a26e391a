/** What the page says when there is nothing to show, or nothing to read from any more. */

import { h } from "./dom.js";

export function errorState(error) {
  return h("div.calm", {}, h("h1", {}, error.message));
}

export function goneBanner() {
  return { element: h("div.banner"), close() {} };
}

export function endedBanner() {
  return { element: h("div.banner"), close() {} };
}

// What the server tells of one request, shown as it comes. All of it is text: nothing is
// ever parsed as HTML.

const at = (id) => document.getElementById(id);
let stream = null; // the EventSource
let current = null; // {id, question}: kept, so that a reload finds its request again
let runs = new Map(); // run id -> {item, kind, depth, name}
let waiting = ""; // pieces that the next frame paints

at("form").onsubmit = (event) => {
  event.preventDefault();
  ask(at("input").value.trim());
};
at("stop").onclick = stop;
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && stream) stop();
});

const kept = sessionStorage.getItem("current");
if (kept) follow(JSON.parse(kept));

async function ask(question) {
  if (!question || stream) return;
  const { id } = await post("/ask", { question });
  sessionStorage.setItem("current", JSON.stringify({ id, question }));
  at("input").value = "";
  follow({ id, question });
}

function follow(request) {
  current = request;
  clear(request.question);
  stream = new EventSource(`/events/${request.id}`);
  stream.onopen = () => say("link", "live");
  stream.onmessage = ({ data }) => tell(JSON.parse(data));
  stream.addEventListener("end", ({ data }) => end(JSON.parse(data)));
  stream.onerror = () => {
    // the browser comes back by itself, with the id of the last that it has got
    if (stream.readyState === EventSource.CLOSED) end({ status: "gone" });
    else say("link", "connection lost, coming back …", "lost");
  };
}

function clear(question) {
  runs = new Map();
  waiting = "";
  at("tree").replaceChildren();
  at("approvals").replaceChildren();
  at("answer").replaceChildren();
  at("answer").className = "open";
  at("empty").hidden = true;
  say("question", question);
  say("outcome", "");
  say("count", "");
  busy(true);
}

function tell(frame) {
  const { event, data = {} } = frame;
  if (event === "approval") return asked(frame);
  if (event === "on_llm_new_token") {
    // the demo's model breaks its lines for a terminal; a page breaks its own
    return data.channel === "text" && write(data.token.replace("\n", " "));
  }
  if (event.endsWith("_start")) return started(frame);
  if (event.endsWith("_end") || event.endsWith("_error")) return finished(frame);
}

function started({ run_id, parent_run_id, kind, name }) {
  if (runs.has(run_id)) return;
  const above = runs.get(parent_run_id);
  const depth = above ? above.depth + 1 : 0;
  const item = make("li", { className: "running" });
  item.setAttribute("role", "treeitem");
  const row = make("div", { className: "row" });
  row.style.setProperty("--depth", depth);
  row.append(
    make("span", { className: `kind ${CSS.escape(kind)}` }),
    make("span", { className: "name", textContent: name }),
    make("span", { className: "what", textContent: kind.replace("_", " ") }),
    make("span", { className: "end", textContent: "running" }),
  );
  const below = make("ul", {});
  below.setAttribute("role", "group");
  item.append(row, below);
  (above ? above.below : at("tree")).append(item);
  runs.set(run_id, { item, below, depth });
  say("count", runs.size);
}

function finished({ run_id, data }) {
  const run = runs.get(run_id);
  if (!run) return;
  run.item.className = data.status;
  const tokens = data.usage?.output_tokens;
  const facts = [tokens && `${tokens} tokens`, seconds(data.duration_s)];
  if (data.status !== "ok") facts.unshift(data.type || data.status);
  run.item.querySelector(".end").textContent = facts.filter(Boolean).join(" · ");
}

function asked({ approval_id, run_id, name, reason, approved }) {
  const run = runs.get(run_id);
  const open = [...at("approvals").children].find((it) => it.dataset.id === approval_id);
  if (approved !== undefined) {
    open?.remove();
    if (run?.item.className === "waits") run.item.className = "running";
    if (run) run.item.querySelector(".end").textContent = approved ? "running" : "refused";
    return;
  }
  if (run) {
    run.item.className = "waits";
    run.item.querySelector(".end").textContent = "waits for you";
  }
  const card = make("div", { className: "approval" });
  card.dataset.id = approval_id;
  const words = make("p", {});
  words.append(make("b", { textContent: name }), ` ${reason ?? "May it be called?"}`);
  const answer = (said) => () => post("/answer", { approval_id, approved: said });
  card.append(
    words,
    make("button", { className: "no", textContent: "Refuse", onclick: answer(false) }),
    make("button", { className: "yes", textContent: "Allow", onclick: answer(true) }),
  );
  at("approvals").append(card);
  card.querySelector(".yes").focus();
}

function write(text) {
  // painted once a frame, however many tokens come
  if (!waiting) requestAnimationFrame(paint);
  waiting += text;
}

function paint() {
  at("answer").append(waiting);
  waiting = "";
  at("said").scrollTop = at("said").scrollHeight;
}

const ENDS = {
  ok: "Done.",
  cancelled: "Stopped.",
  abandoned: "Given up.",
  gone: "This request is kept no more.",
};

function end({ status, type, message }) {
  stream?.close();
  stream = null;
  at("answer").className = "";
  at("approvals").replaceChildren();
  const failed = [type, message].filter(Boolean).join(": ");
  say("outcome", ENDS[status] ?? failed, status);
  say("link", "");
  at("said").scrollTop = at("said").scrollHeight;
  busy(false);
}

async function stop() {
  await post(`/stop/${current.id}`, {});
}

async function post(url, body) {
  const headers = { "content-type": "application/json" };
  const response = await fetch(url, { method: "POST", headers, body: JSON.stringify(body) });
  return response.status === 204 ? null : response.json();
}

function busy(is) {
  at("ask").hidden = is;
  at("stop").hidden = !is;
  at("input").disabled = is;
  if (!is) at("input").focus();
}

function say(id, text, name = "") {
  at(id).textContent = text;
  at(id).className = name;
  at(id).hidden = text === "";
}

function seconds(value) {
  if (value === undefined) return "";
  return value < 1 ? `${Math.round(value * 1000)} ms` : `${value.toFixed(1)} s`;
}

function make(tag, fields) {
  return Object.assign(document.createElement(tag), fields);
}

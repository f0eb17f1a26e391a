// Read one request as a front end does, and print as JSON what it has understood.
// node client.mjs CLIENT URL HOW

const [client, url, how] = process.argv.slice(2);
const out = { texts: [], tools: {}, runs: {}, error: null };
const question = { id: "u", role: "user", parts: [{ type: "text", text: "hi" }] };

const answered = new Set();
async function answer(id) {
  if (answered.has(id)) return;
  answered.add(id);
  const body = JSON.stringify({ approval_id: id, approved: how === "approve" });
  await fetch(`${url}/answer`, { method: "POST", body });
}

async function until(holds) {
  for (let tries = 0; tries < 2000; tries++) {
    if (holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new Error("never");
}

function lookAt(message) {
  const tools = message.parts.filter((it) => it.type === "dynamic-tool");
  out.tools = Object.fromEntries(tools.map((it) => [it.toolName, it.state]));
  const texts = message.parts.filter((it) => it.type === "text");
  out.texts = texts.map((it) => it.text);
  out.reasoning = message.parts.filter((it) => it.type === "reasoning").map((it) => it.text);
  const runs = message.parts.filter((it) => it.type === "data-run").map((it) => it.data);
  out.runs = Object.fromEntries(runs.map((it) => [it.name, it.status]));
  out.custom = message.parts.find((it) => it.type === "data-progress")?.data;
  if (out.tools.weather === "output-available" && out.tools.delegate === "input-available") {
    out.nested = true; // the inner call is told while the outer one runs
  }
  for (const tool of tools) if (tool.state === "approval-requested") answer(tool.approval.id);
}

async function transport(name) {
  const ai = await import(name);
  const abort = new AbortController();
  const sent = new ai.DefaultChatTransport({ api: `${url}/ai-sdk/${how}` });
  const stream = await sent.sendMessages({
    trigger: "submit-message", chatId: "c", messages: [question], abortSignal: abort.signal,
  });
  const onError = (error) => { out.error = error.message; };
  try {
    for await (const message of ai.readUIMessageStream({ stream, onError })) {
      lookAt(message);
      if (how === "cancel" && out.texts.length) abort.abort();
    }
  } catch (error) {
    out.error ??= error.name;
  }
}

async function react() {
  const { JSDOM } = await import("jsdom");
  const { window } = new JSDOM("<div id=root></div>");
  Object.assign(globalThis, { window, document: window.document });
  globalThis.navigator ??= window.navigator; // Node has one from 21 on
  const React = await import("react");
  const { createRoot } = await import("react-dom/client");
  const { useChat } = await import("@ai-sdk/react");
  const { DefaultChatTransport } = await import("ai6");
  const transport = new DefaultChatTransport({ api: `${url}/ai-sdk/${how}` });
  let chat;
  function App() {
    chat = useChat({ transport });
    if (chat.messages.at(-1)?.role === "assistant") lookAt(chat.messages.at(-1));
    return React.createElement("pre", null, JSON.stringify(chat.messages));
  }
  const root = createRoot(window.document.getElementById("root"));
  root.render(React.createElement(App));
  await until(() => chat);
  chat.sendMessage({ text: "hi" });
  await until(() => {
    if (how === "cancel" && out.texts.length) chat.stop();
    if (chat.messages.at(-1)?.role !== "assistant") return false;
    return chat.status === "ready" || chat.status === "error";
  });
  out.error = chat.error?.message ?? null;
  out.page = window.document.querySelector("pre").textContent.includes("the end");
  root.unmount();
}

async function agUi() {
  const { HttpAgent } = await import("@ag-ui/client");
  const agent = new HttpAgent({ url: `${url}/ag-ui/${how}`, threadId: "thread" });
  agent.messages = [{ id: "u", role: "user", content: "hi" }];
  const agents = {};
  const calls = {};
  const onEvent = ({ event }) => {
    if (event.type === "SUBAGENT_STARTED") agents[event.subagentRunId] = event;
    if (event.type === "TOOL_CALL_START") calls[event.toolCallId] = event.toolCallName;
    if (event.type === "TOOL_CALL_START") out.tools[event.toolCallName] = "started";
    if (event.type === "TOOL_CALL_RESULT") {
      const name = calls[event.toolCallId];
      out.tools[name] = event.metadata?.error ? "error" : "result";
      if (name === "weather" && out.tools.delegate === "started") out.nested = true;
    }
    if (event.type === "RUN_FINISHED") Object.assign(out, { outcome: event.outcome?.type, usage: event.usage });
    if (event.type === "RUN_STARTED") out.ids = [event.threadId, event.runId];
    if (event.type === "RUN_ERROR") out.error = event.message;
    if (event.type === "CUSTOM" && event.name === "progress") out.custom = event.value;
    if (event.type === "CUSTOM" && event.name === "approval") answer(event.value.id);
    if (event.type === "TEXT_MESSAGE_CONTENT" && how === "cancel") agent.abortRun();
  };
  try {
    const { newMessages } = await agent.runAgent({ runId: "run" }, { onEvent });
    const said = newMessages.filter((it) => it.role === "assistant" && it.content);
    out.texts = said.map((it) => it.content);
  } catch (error) {
    out.error ??= error.message;
  }
  out.depths = Object.values(agents).map((it) => {
    let depth = 1;
    for (let up = it; (up = agents[up.parentSubagentRunId]); ) depth++;
    return [it.name, depth, calls[it.parentToolCallId]];
  });
}

async function openai() {
  const { default: OpenAI } = await import("openai");
  const asked = new OpenAI({ apiKey: "x", baseURL: `${url}/openai/${how}`, maxRetries: 0 });
  let text = "";
  try {
    const stream = await asked.chat.completions.create({ model: "m", messages: [], stream: true });
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta?.content ?? "";
      out.model = chunk.model;
      out.usage = chunk.usage ?? out.usage;
      out.reason = chunk.choices[0]?.finish_reason ?? out.reason;
      if (how === "cancel" && text) stream.controller.abort();
    }
  } catch (error) {
    out.error = error.message;
  }
  out.texts = [text];
}

const clients = {
  "ai 6": () => transport("ai6"),
  "ai 7": () => transport("ai"),
  useChat: react,
  "ag-ui": agUi,
  openai,
};
await clients[client]();
console.log(JSON.stringify(out));
process.exit(0);

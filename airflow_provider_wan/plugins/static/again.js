// "Make again": what to put into a DAG for a new take. The page itself changes nothing.

import { button, h } from "./dom.js";
import { copyText } from "./host.js";
import { T } from "./texts.js";

const OPERATORS = {
  text_to_video: "WanTextToVideoOperator",
  image_to_video: "WanImageToVideoOperator",
  reference_to_video: "WanReferenceToVideoOperator",
  video_edit: "WanVideoEditOperator",
};
const LISTS = new Set(["reference_images", "reference_videos", "reference_audios"]);

function request(card) {
  const found = { prompt: card.prompt };
  if (card.negative_prompt) found.negative_prompt = card.negative_prompt;
  for (const { field, url } of card.references || []) {
    if (LISTS.has(field)) found[field] = [...(found[field] || []), url];
    else found[field] = url;
  }
  for (const name of ["model", "resolution", "ratio", "duration"]) if (card[name] !== undefined) found[name] = card[name];
  Object.assign(found, card.parameters || {});
  found.seed = newSeed(card);
  return found;
}

function newSeed(card) {
  const [random] = crypto.getRandomValues(new Uint32Array(1));
  card.newSeed ??= random & 0x7fffffff;
  return card.newSeed;
}

const DIRECTION = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

// Marks of direction are escaped: code that is copied must read as it runs.
function json(value) {
  return JSON.stringify(value).replace(DIRECTION, (mark) => `\\u${mark.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

// JSON is Python but for three words; what JSON.stringify leaves as it is, Python takes too.
function python(value) {
  if (value === true) return "True";
  if (value === false) return "False";
  if (value === null || value === undefined) return "None";
  if (Array.isArray(value)) return `[${value.map(python).join(", ")}]`;
  return json(value);
}

function asOperator(card) {
  const name = OPERATORS[card.mode] || OPERATORS.text_to_video;
  const fields = { task_id: `${card.task}_again`, ...request(card) };
  if (card.wan_conn_id && card.wan_conn_id !== "wan_default") fields.wan_conn_id = card.wan_conn_id;
  const lines = Object.entries(fields).map(([key, value]) => `    ${key}=${python(value)},`);
  return `from airflow_provider_wan.operators.wan import ${name}\n\n${name}(\n${lines.join("\n")}\n)`;
}

function asRow(card) {
  return json({ id: `${card.item || card.task}-again`, ...(card.mode && card.mode !== "text_to_video" ? { mode: card.mode } : {}), ...request(card) });
}

const KINDS = { operator: [asOperator, T.againOperator], row: [asRow, T.againRow], clear: [() => "regenerate=True", T.againClear] };

export function makeAgain(card) {
  const code = h("code");
  const hint = h("p", { class: "muted" });
  const tabs = h("div", { class: "chips", role: "group", "aria-label": T.makeAgain });
  const show = (kind) => {
    const [text, what] = KINDS[kind];
    code.textContent = text(card);
    hint.textContent = what + (kind !== "clear" && (card.references || []).length ? ` ${T.againReferences}` : "");
    for (const tab of tabs.children) tab.setAttribute("aria-pressed", String(tab.dataset.kind === kind));
  };
  for (const kind of Object.keys(KINDS)) {
    if (kind === "clear" && card.item) continue;
    tabs.append(h("button", { type: "button", class: "chip", data: { kind }, onclick: () => show(kind) }, T.againKinds[kind]));
  }
  show(card.item ? "row" : "operator");
  return h("div", { class: "again" }, h("p", {}, T.againIntro), tabs, hint, h("div", { class: "code" }, h("pre", { tabIndex: 0 }, code), copyButton(() => code.textContent)));
}

export function copyButton(text, label = T.copy) {
  const element = button("copy", label, async () => {
    const isDone = await copyText(text());
    element.title = isDone ? T.copied : T.copyFailed;
    element.classList.toggle("did", isDone);
    status.textContent = element.title;
    setTimeout(() => {
      element.classList.remove("did");
      element.title = label;
      status.textContent = "";
    }, 1500);
  });
  const status = h("span", { class: "off-screen", role: "status" });
  return h("span", { class: "copy" }, element, status);
}

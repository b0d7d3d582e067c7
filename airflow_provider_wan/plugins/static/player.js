// One video, large, with all that is known of it.

import { pageOf } from "./address.js";
import { copyButton, makeAgain } from "./again.js";
import { button, h, icon, setText } from "./dom.js";
import { bytes, costOf, modeName, moment, money, span, times } from "./format.js";
import { airflowAddress, follow, instanceApi, instancePath, saveFile } from "./host.js";
import { nameOf } from "./data.js";
import { T } from "./texts.js";

const SHOWN_ELSEWHERE = new Set(["prompt", "negative_prompt"]);
const PICTURE = /\.(png|jpe?g|webp|gif|bmp|avif)$/i;
const CLIP = /\.(mp4|mov|webm|m4v)$/i;

export class Player {
  constructor(store, { neighbours, closed, select, isSelected }) {
    Object.assign(this, { store, neighbours, closed, select, isSelected });
    this.isLooping = true;
    this.stage = h("div", { class: "screen" });
    this.source = h("p", { class: "muted source" });
    this.title = h("h2", { id: "player-title" });
    this.place = h("span", { class: "muted" });
    this.info = h("div", { class: "info" });
    this.loop = button("loop", `${T.loop} (L)`, () => this.toggleLoop(), { "aria-pressed": "true" });
    this.full = button("fullscreen", `${T.fullscreen} (F)`, () => this.goFull());
    this.save = button("download", `${T.download} (D)`, () => this.download());
    this.pick = button("compare", `${T.compareAdd} (C)`, () => this.choose(), { "aria-pressed": "false" });
    this.element = h(
      "dialog",
      { class: "player", "aria-labelledby": "player-title" },
      h(
        "header",
        {},
        button("previous", `${T.previous} (←)`, () => this.step(-1)),
        button("next", `${T.next} (→)`, () => this.step(1)),
        this.title,
        this.place,
        h("span", { class: "space" }),
        this.loop,
        this.full,
        this.save,
        this.pick,
        copyButton(() => pageOf(this.card), T.copyAddress),
        button("close", `${T.close} (Esc)`, () => this.element.close(), { class: "tool last" }),
      ),
      h("div", { class: "panes" }, h("div", { class: "left" }, this.stage, this.source, h("p", { class: "muted keys" }, T.keys)), this.info),
    );
    this.element.addEventListener("keydown", (event) => this.key(event));
    this.element.addEventListener("close", () => this.end());
    this.element.addEventListener("click", (event) => event.target === this.element && this.element.close());
  }

  open(card) {
    this.show(card);
    if (!this.element.open) this.element.showModal();
    this.element.scrollTop = 0;
  }

  get isOpen() {
    return this.element.open;
  }

  // Called when the card's data may have changed.
  refresh(card) {
    if (!this.isOpen || !card) return;
    if (card.seen === this.card.seen) return this.tick();
    this.show(card);
  }

  show(card) {
    const isOther = this.card?.id !== card.id;
    this.card = card;
    setText(this.title, nameOf(card));
    const { place, count } = this.neighbours(card.id);
    setText(this.place, count > 1 ? T.position(place + 1, count) : "");
    this.play(isOther);
    this.describe();
    this.mark();
    this.tick();
  }

  play(isOther) {
    const source = this.store.sourceOf(this.card);
    if (!isOther && this.shownSource === (source && source.address)) return;
    this.shownSource = source && source.address;
    this.stop();
    this.save.disabled = this.full.disabled = !source;
    if (!source) {
      this.stage.append(this.blank());
      return;
    }
    this.video = h("video", { controls: true, playsInline: true, loop: this.isLooping, preload: "auto", src: source.address, "aria-label": nameOf(this.card) });
    this.video.addEventListener("error", () => this.failed(source));
    this.stage.append(this.video);
    this.video.play().catch(() => {});
  }

  failed(source) {
    const { card } = this;
    this.stop();
    if (source.kind === "stored" && card.url && !this.store.isExpired(card)) {
      this.video = h("video", { controls: true, playsInline: true, loop: this.isLooping, src: card.url });
      this.video.addEventListener("error", () => this.stage.replaceChildren(h("p", { class: "blank", role: "alert" }, T.playFailed)));
      this.stage.append(this.video);
      setText(this.source, `${T.playFailedStored}. ${T.playing.vendor}`);
      return;
    }
    this.stage.append(h("p", { class: "blank", role: "alert" }, T.playFailed));
  }

  blank() {
    const state = this.store.stateOf(this.card);
    return h("p", { class: "blank", data: { state } }, h("span", { class: "badge" }, T.states[state]), h("span", {}, T.stateHints[state] || ""));
  }

  stop() {
    if (this.video) {
      this.video.removeAttribute("src");
      this.video.load();
      this.video = null;
    }
    this.stage.replaceChildren();
  }

  tick() {
    const { card } = this;
    const source = this.store.sourceOf(card);
    if (this.video && source) {
      const left = source.kind === "vendor" && card.url_expires_at ? ` (${T.expiresIn(span((Date.parse(card.url_expires_at) - this.store.now()) / 1000))})` : "";
      if (!this.source.textContent.startsWith(T.playFailedStored)) setText(this.source, T.playing[source.kind] + left);
    } else setText(this.source, "");
    if (this.elapsed) setText(this.elapsed, span(this.store.secondsSince(card)));
  }

  mark() {
    const isSelected = this.isSelected(this.card.id);
    this.pick.setAttribute("aria-pressed", String(isSelected));
    this.pick.title = `${isSelected ? T.compareRemove : T.compareAdd} (C)`;
    this.pick.setAttribute("aria-label", this.pick.title);
    this.pick.disabled = this.store.sourceOf(this.card) === null;
  }

  choose() {
    if (this.pick.disabled) return;
    this.select(this.card.id);
    this.mark();
  }

  describe() {
    const { card } = this;
    const open = new Set([...this.info.querySelectorAll("details[open]")].map((element) => element.dataset.name));
    this.elapsed = null;
    const parts = [
      this.links(),
      this.error(),
      text(T.prompt, card.prompt),
      card.actual_prompt !== card.prompt && text(T.actualPrompt, card.actual_prompt),
      text(T.negativePrompt, card.negative_prompt),
      this.references(),
      section(T.details, this.table()),
      card.usage && fold("usage", T.usage, open, () => table(Object.entries(card.usage).map(([name, value]) => [name, typeof value === "string" ? value : JSON.stringify(value)]))),
      fold("again", T.makeAgain, open, () => makeAgain(card)),
      card.item ? null : fold("parameters", T.allParameters, open, () => this.parameters()),
    ];
    this.info.replaceChildren(...parts.filter(Boolean));
  }

  links() {
    const { card } = this;
    const path = instancePath(card);
    const link = (name, address, sign, props = {}) => h("a", { href: address, class: "plain", onclick: (event) => follow(event, address), ...props }, icon(sign), name);
    return h(
      "p",
      { class: "links" },
      link(T.openLog, airflowAddress(path), "log"),
      link(T.openTask, airflowAddress(`${path}/details`), "link"),
      card.page && link(T.openVendor, card.page, "out", { target: "_blank", rel: "noopener noreferrer" }),
    );
  }

  error() {
    const { card } = this;
    const state = this.store.stateOf(card);
    const { error } = card;
    if (state === "expired") return notice(state, T.expired, [T.expiredAdvice]);
    if (!error && state !== "failed" && state !== "in_doubt") return null;
    if (!error) return notice(state, state === "failed" ? T.whyFailed : T.whyDoubt, [T.noReason]);
    const title = state === "in_doubt" ? T.whyDoubt : card.state === "done" ? T.whyNotStored : T.whyFailed;
    const codes = [error.code && `${T.code}: ${error.code}`, error.request_id && `${T.names.request_id}: ${error.request_id}`].filter(Boolean).join(" · ");
    const lines = [h("p", { class: "words" }, String(error.message || T.noReason)), codes && h("p", { class: "muted" }, codes), T.billed[error.billed] || T.billed.unknown];
    if (error.retryable && card.airflow !== "failed") lines.push(T.retries);
    lines.push(T.advice[error.kind] || T.advice.other);
    return notice(state, title, lines);
  }

  references() {
    const { card } = this;
    if (!(card.references || []).length) return null;
    const items = card.references.map(({ field, url }) => {
      const address = String(url);
      const isWeb = /^https?:\/\//i.test(address);
      const file = address.split("?")[0];
      let thumb = null;
      if (isWeb && PICTURE.test(file)) thumb = h("img", { src: address, alt: "", loading: "lazy", referrerPolicy: "no-referrer" });
      else if (isWeb && CLIP.test(file)) thumb = h("video", { src: `${address}#t=0.1`, muted: true, preload: "metadata", playsInline: true, "aria-hidden": "true", tabIndex: -1 });
      thumb?.addEventListener("error", () => thumb.replaceWith(icon("film")));
      return h("li", {}, h("span", { class: "thumb" }, thumb || icon("film")), h("span", {}, h("b", {}, T.fields[field] || field), h("br"), h("span", { class: "address" }, address)), copyButton(() => address));
    });
    return section(T.references, h("ul", { class: "references" }, items));
  }

  table() {
    const { card } = this;
    const { queue, run, total } = times(card);
    const cost = costOf(card);
    const state = this.store.stateOf(card);
    const isOpen = ["running", "starting"].includes(state) && card.submitted_at;
    if (isOpen) this.elapsed = h("span");
    const rows = [
      ["state", T.states[state]],
      ["item", card.item],
      ["label", card.label],
      ["try", card.try],
      ["mode", modeName(card)],
      ["model", card.model],
      ["resolution", card.resolution],
      ["ratio", card.ratio],
      ["duration", card.duration > 0 ? `${card.duration} ${T.second}` : card.duration],
      ["seed", card.seed],
      ["vendor", card.vendor],
      ["wan_conn_id", card.wan_conn_id],
      ["submitted_at", card.submitted_at && moment(card.submitted_at)],
      ["finished_at", card.finished_at && moment(card.finished_at)],
      ["queue_time", span(queue)],
      ["run_time", span(run)],
      ["total_time", isOpen ? this.elapsed : span(total)],
      ["cost", cost && `${money(cost.amount, cost.currency)}${T.basis[cost.basis] ? ` (${T.basis[cost.basis]})` : ""}`],
      ["task_id", card.task_id],
      ["request_id", card.request_id],
      ["uri", card.uri],
      ["bytes", card.bytes && bytes(card.bytes)],
      ["sha256", card.sha256],
      ...Object.entries(card.parameters || {}).map(([name, value]) => [name, String(value)]),
    ];
    return table(rows.filter(([, value]) => value !== undefined && value !== null && value !== "").map(([name, value]) => [T.names[name] || name, value]));
  }

  // Asked for when it is opened: Airflow's own record of the rendered parameters, with its own redaction.
  parameters() {
    const box = h("div", {}, T.loading);
    fetch(instanceApi(this.card), { headers: { Accept: "application/json" } })
      .then((answer) => (answer.ok ? answer.json() : Promise.reject(new Error(String(answer.status)))))
      .then((instance) => {
        const fields = Object.entries(instance.rendered_fields || {}).filter(([name, value]) => value !== null && value !== "" && !SHOWN_ELSEWHERE.has(name));
        box.replaceChildren(fields.length ? table(fields.map(([name, value]) => [name, typeof value === "string" ? value : JSON.stringify(value)])) : T.parametersGone);
      })
      .catch(() => box.replaceChildren(T.parametersGone));
    return box;
  }

  step(by) {
    const next = this.neighbours(this.card.id, by).card;
    if (next) this.show(next);
    return next;
  }

  toggleLoop() {
    this.isLooping = !this.isLooping;
    this.loop.setAttribute("aria-pressed", String(this.isLooping));
    if (this.video) this.video.loop = this.isLooping;
  }

  goFull() {
    if (document.fullscreenElement) document.exitFullscreen();
    else this.video?.requestFullscreen?.().catch(() => {});
  }

  download() {
    const source = this.store.sourceOf(this.card);
    if (source) saveFile(source.address, `${this.card.task_id || this.card.task}.mp4`);
  }

  key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey || /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) return;
    const isVideo = event.target.tagName === "VIDEO";
    const actions = {
      ArrowLeft: () => !isVideo && this.step(-1),
      ArrowRight: () => !isVideo && this.step(1),
      p: () => this.step(-1),
      n: () => this.step(1),
      l: () => this.toggleLoop(),
      f: () => this.goFull(),
      d: () => this.download(),
      c: () => this.choose(),
      " ": () => !isVideo && !/^(BUTTON|A|SUMMARY)$/.test(event.target.tagName) && this.toggle(),
    };
    const action = actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (action && action() !== false) event.preventDefault();
  }

  toggle() {
    if (!this.video) return false;
    if (this.video.paused) this.video.play().catch(() => {});
    else this.video.pause();
    return true;
  }

  end() {
    this.stop();
    this.shownSource = undefined;
    this.closed(this.card.id);
  }
}

export function table(rows) {
  return h("dl", { class: "table" }, rows.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value instanceof Node ? value : String(value)))));
}

function section(title, ...content) {
  return h("section", {}, h("h3", {}, title), ...content);
}

function text(title, value) {
  if (!value) return null;
  return h("section", {}, h("h3", {}, title, copyButton(() => value)), h("p", { class: "words", dir: "auto" }, value), value.endsWith("…") && h("p", { class: "muted" }, T.promptCut));
}

function notice(state, title, lines) {
  return h("section", { class: "notice", data: { state } }, h("h3", {}, title), lines.filter(Boolean).map((line) => (typeof line === "string" ? h("p", {}, line) : line)));
}

function fold(name, title, open, content) {
  const element = h("details", { data: { name } }, h("summary", {}, title));
  const fill = () => element.open && element.childElementCount === 1 && element.append(content());
  element.addEventListener("toggle", fill);
  element.open = open.has(name);
  return element;
}

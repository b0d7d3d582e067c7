// The cards of one page: posters that load when they are seen, and keyboard moves between them.

import { button, h, setText } from "./dom.js";
import { costOf, modeName, money, span, times } from "./format.js";
import { nameOf } from "./data.js";
import { T } from "./texts.js";

const NEAR = "300px";
const still = matchMedia("(prefers-reduced-motion: reduce)");

export class Grid {
  constructor(store, { open, select, isSelected }) {
    this.store = store;
    this.open = open;
    this.select = select;
    this.isSelected = isSelected;
    this.views = new Map();
    this.element = h("ul", { class: "grid", "aria-label": T.title, onkeydown: (event) => this.move(event) });
    this.watcher = new IntersectionObserver((seen) => seen.forEach((entry) => this.views.get(entry.target.dataset.id)?.see(entry.isIntersecting)), {
      rootMargin: NEAR,
    });
  }

  show(cards) {
    const wanted = new Set(cards.map((card) => card.id));
    for (const [id, view] of this.views) {
      if (wanted.has(id)) continue;
      this.watcher.unobserve(view.element);
      view.see(false);
      view.element.remove();
      this.views.delete(id);
    }
    cards.forEach((card, place) => {
      let view = this.views.get(card.id);
      if (!view) {
        view = new CardView(this, card);
        this.views.set(card.id, view);
        this.watcher.observe(view.element);
      }
      view.update(card);
      if (this.element.children[place] !== view.element) this.element.insertBefore(view.element, this.element.children[place] || null);
    });
  }

  tick() {
    for (const view of this.views.values()) view.tick();
  }

  marks() {
    for (const view of this.views.values()) view.mark();
  }

  focus(id) {
    this.views.get(id)?.opener.focus();
  }

  move(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const openers = [...this.element.querySelectorAll(".opener")];
    const here = openers.indexOf(document.activeElement);
    if (here < 0) return;
    if (event.key === "c" || event.key === "C") {
      event.preventDefault();
      this.select(event.target.closest(".card").dataset.id);
      return;
    }
    const top = openers[0].getBoundingClientRect().top;
    const columns = openers.filter((opener) => Math.abs(opener.getBoundingClientRect().top - top) < 4).length || 1;
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns, Home: -here, End: openers.length - 1 - here };
    if (!(event.key in steps)) return;
    event.preventDefault();
    openers[Math.max(0, Math.min(openers.length - 1, here + steps[event.key]))].focus();
  }
}

class CardView {
  constructor(grid, card) {
    this.grid = grid;
    this.isSeen = false;
    this.badge = h("span", { class: "badge" });
    this.length = h("span", { class: "chip length" });
    this.note = h("span", { class: "chip note" });
    this.blank = h("span", { class: "blank" });
    this.stage = h("span", { class: "stage" }, this.blank, this.badge, this.length, this.note);
    this.prompt = h("span", { class: "prompt" });
    this.spoken = h("span", { class: "off-screen" });
    this.opener = h("button", { type: "button", class: "opener", onclick: () => grid.open(this.card.id) }, this.spoken, this.stage, this.prompt);
    this.opener.addEventListener("pointerenter", () => this.preview(true));
    this.opener.addEventListener("pointerleave", () => this.preview(false));
    this.pick = button("compare", T.select, () => grid.select(this.card.id), { class: "tool pick", "aria-pressed": "false" });
    this.name = h("span", { class: "name" });
    this.what = h("span", { class: "what" });
    this.time = h("span", { class: "time" });
    this.cost = h("span", { class: "cost" });
    this.element = h("li", { class: "card", data: { id: card.id } }, this.opener, this.pick, h("div", { class: "facts" }, this.name, this.what, h("span", { class: "line" }, this.time, this.cost)));
  }

  update(card) {
    if (this.card?.seen === card.seen) return this.tick();
    this.card = card;
    const words = card.prompt || card.label || (["waiting", "starting"].includes(card.state) ? T.laterPrompt : T.noPrompt);
    setText(this.prompt, words);
    this.prompt.classList.toggle("unknown", !card.prompt);
    setText(this.name, nameOf(card));
    setText(this.spoken, `${T.open(nameOf(card))} `);
    const shape = [modeName(card), card.model, card.resolution, card.ratio, card.wan_conn_id].filter(Boolean);
    if (card.seed !== undefined) shape.push(`${T.names.seed} ${card.seed}`);
    setText(this.what, shape.join(" · "));
    this.what.title = shape.join(" · ");
    setText(this.length, card.duration > 0 ? `${card.duration} ${T.second}` : "");
    const cost = costOf(card);
    setText(this.cost, cost ? money(cost.amount, cost.currency) : "");
    this.opener.title = words;
    this.tick();
    this.mark();
    this.poster();
  }

  tick() {
    const { card, grid } = this;
    const state = grid.store.stateOf(card);
    this.element.dataset.state = state;
    setText(this.badge, T.states[state] || state);
    const { queue, total } = times(card);
    let time = "";
    if (state === "running" || state === "starting") time = span(grid.store.secondsSince(card)) && `${span(grid.store.secondsSince(card))} ${T.elapsed}`;
    else if (total !== null) time = T.tookTime(span(total)) + (queue ? ` (${T.names.queue_time.toLowerCase()} ${span(queue)})` : "");
    setText(this.time, time);
    setText(this.note, this.noteOf(state));
    setText(this.blank, this.blankOf(state));
    if (state === "expired" && this.video) this.poster();
  }

  noteOf(state) {
    const { card, grid } = this;
    if (card.error && state === "done") return T.notStored;
    if (state !== "done" || card.uri || !card.url_expires_at) return "";
    return T.expiresIn(span((Date.parse(card.url_expires_at) - grid.store.now()) / 1000));
  }

  blankOf(state) {
    if (this.video) return "";
    const { error } = this.card;
    if (state === "done") return T.noPicture;
    return (error && (error.message || error.code)) || T.stateHints[state] || "";
  }

  mark() {
    const isSelected = this.grid.isSelected(this.card.id);
    this.pick.setAttribute("aria-pressed", String(isSelected));
    const label = isSelected ? T.deselect : T.select;
    this.pick.title = label;
    this.pick.setAttribute("aria-label", `${label}: ${nameOf(this.card)}`);
    this.pick.hidden = this.grid.store.sourceOf(this.card) === null;
  }

  see(isSeen) {
    if (this.isSeen === isSeen) return;
    this.isSeen = isSeen;
    this.poster();
  }

  // A video element holds decoders and buffers: only cards that are near the window have one.
  poster() {
    const source = this.isSeen ? this.grid.store.sourceOf(this.card) : null;
    const address = source ? `${source.address}#t=0.1` : null;
    if (this.video?.dataset.address === address) return;
    if (this.video) {
      this.video.removeAttribute("src");
      this.video.load();
      this.video.remove();
      this.video = null;
    }
    if (address && this.broken !== address) {
      this.video = h("video", { muted: true, playsInline: true, preload: "metadata", tabIndex: -1, "aria-hidden": "true", disablePictureInPicture: true, data: { address } });
      this.video.addEventListener("error", () => {
        this.broken = address;
        this.poster();
      });
      this.video.src = address;
      this.stage.prepend(this.video);
    }
    this.stage.classList.toggle("broken", Boolean(address) && this.broken === address);
    setText(this.blank, this.blankOf(this.grid.store.stateOf(this.card)));
  }

  preview(isOn) {
    clearTimeout(this.hover);
    if (!this.video || still.matches) return;
    const { video } = this;
    if (isOn) {
      this.hover = setTimeout(() => {
        video.loop = true;
        video.play().catch(() => {});
      }, 250);
    } else {
      video.pause();
      if (video.currentTime > 0.1) video.currentTime = 0.1;
    }
  }
}

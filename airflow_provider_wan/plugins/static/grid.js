// The cards of one page: posters that load when they are seen, and keyboard moves between them.

import { button, h, setText } from "./dom.js";
import { costOf, modeName, money, span, times } from "./format.js";
import { nameOf } from "./data.js";
import { NotPlayed, Posters } from "./posters.js";
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
    this.posters = new Posters();
    this.element = h("ul", { class: "grid", "aria-label": T.title, onkeydown: (event) => this.move(event) });
    this.watcher = new IntersectionObserver((entries) => this.see(entries), { rootMargin: NEAR });
  }

  see(entries) {
    for (const { target, isIntersecting } of entries) this.views.get(target.dataset.id)?.see(isIntersecting);
    const whole = this.element.querySelector(".card:not(.bare)");
    if (whole) this.element.style.setProperty("--card-height", `${whole.offsetHeight}px`);
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

// A card far from the window is a button with a name, at its full height: 500 whole ones would be 60 MB.
class CardView {
  constructor(grid, card) {
    this.grid = grid;
    this.isSeen = false;
    this.spoken = h("span", { class: "off-screen" });
    this.opener = h("button", { type: "button", class: "opener", onclick: () => grid.open(this.card.id) }, this.spoken);
    this.opener.addEventListener("pointerenter", () => this.preview(true));
    this.opener.addEventListener("pointerleave", () => this.preview(false));
    this.element = h("li", { class: "card bare", data: { id: card.id } }, this.opener);
  }

  build() {
    this.badge = h("span", { class: "badge" });
    this.length = h("span", { class: "chip length" });
    this.note = h("span", { class: "chip note" });
    this.blank = h("span", { class: "blank" });
    this.stage = h("span", { class: "stage" }, this.blank, this.badge, this.length, this.note);
    this.prompt = h("span", { class: "prompt" });
    this.pick = button("compare", T.select, () => this.grid.select(this.card.id), { class: "tool pick", "aria-pressed": "false" });
    this.name = h("span", { class: "name" });
    this.what = h("span", { class: "what" });
    this.time = h("span", { class: "time" });
    this.cost = h("span", { class: "cost" });
    this.opener.append(this.stage, this.prompt);
    this.element.append(this.pick, h("div", { class: "facts" }, this.name, this.what, h("span", { class: "line" }, this.time, this.cost)));
    this.element.classList.remove("bare");
    this.fill();
  }

  strip() {
    this.element.classList.add("bare");
    this.opener.replaceChildren(this.spoken);
    this.element.replaceChildren(this.opener);
    for (const name of ["badge", "length", "note", "blank", "stage", "prompt", "pick", "name", "what", "time", "cost"]) this[name] = null;
  }

  update(card) {
    if (this.card?.seen !== card.seen) {
      this.card = card;
      setText(this.spoken, `${T.open(nameOf(card))} `);
      if (this.isSeen) this.fill();
    }
    this.tick();
  }

  fill() {
    const { card } = this;
    const words = card.prompt || card.label || (["waiting", "starting"].includes(card.state) ? T.laterPrompt : T.noPrompt);
    setText(this.prompt, words);
    this.prompt.classList.toggle("unknown", !card.prompt);
    setText(this.name, nameOf(card));
    const shape = [modeName(card), card.model, card.resolution, card.ratio, card.wan_conn_id].filter(Boolean);
    if (card.seed !== undefined) shape.push(`${T.names.seed} ${card.seed}`);
    setText(this.what, shape.join(" · "));
    this.what.title = shape.join(" · ");
    setText(this.length, card.duration > 0 ? `${card.duration} ${T.second}` : "");
    const cost = costOf(card);
    setText(this.cost, cost ? money(cost.amount, cost.currency) : "");
    this.prompt.title = words;
    this.tick();
    this.mark();
    this.poster();
  }

  tick() {
    const { card, grid } = this;
    const state = grid.store.stateOf(card);
    if (this.element.dataset.state !== state) this.element.dataset.state = state;
    if (!this.stage) return;
    setText(this.badge, T.states[state] || state);
    const { queue, total } = times(card);
    let time = "";
    if (state === "running" || state === "starting") time = span(grid.store.secondsSince(card)) && `${span(grid.store.secondsSince(card))} ${T.elapsed}`;
    else if (total !== null) time = queue >= 1 ? T.tookWithQueue(span(total), span(queue)) : T.tookTime(span(total));
    setText(this.time, time);
    this.time.title = total !== null ? T.tookTime(span(total)) : "";
    setText(this.note, this.noteOf(state));
    setText(this.blank, this.blankOf(state));
    if (state === "expired" && this.picture) this.poster();
  }

  noteOf(state) {
    const { card, grid } = this;
    if (card.error && state === "done") return T.notStored;
    if (state !== "done" || card.uri || !card.url_expires_at) return "";
    return T.expiresIn(span((Date.parse(card.url_expires_at) - grid.store.now()) / 1000));
  }

  blankOf(state) {
    if (this.picture) return "";
    const { error } = this.card;
    if (state === "done") return this.isBroken || !this.address ? T.noPicture : "";
    return (error && (error.message || error.code)) || T.stateHints[state] || "";
  }

  mark() {
    if (!this.pick) return;
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
    if (isSeen) this.build();
    else {
      this.poster();
      this.strip();
    }
  }

  // What is seen of the video: the first frame as a picture, only while the card is near the window.
  poster() {
    const source = this.isSeen ? this.grid.store.sourceOf(this.card) : null;
    const address = source ? `${source.address}#t=0.1` : null;
    if (this.address === address) return;
    this.grid.posters.leave(this.address);
    this.preview(false);
    this.showPicture(null);
    this.address = address;
    this.isBroken = false;
    if (address === null) return;
    const kept = this.grid.posters.kept(address);
    if (kept) this.showFile(kept);
    else this.grid.posters.want(address, this.stage.clientWidth, ({ picture: found, failure }) => {
      if (found) this.showFile(found);
      else if (!(failure instanceof NotPlayed)) this.showPicture(liveVideo(address));
      else {
        this.isBroken = true;
        this.tick();
      }
    });
  }

  async showFile(file) {
    const { address } = this;
    const bitmap = await createImageBitmap(file);
    if (this.address === address && this.stage) this.showPicture(picture(bitmap));
    else bitmap.close();
  }

  showPicture(element) {
    if (this.picture?.tagName === "VIDEO") unload(this.picture);
    else if (this.picture) this.picture.width = 0;
    this.picture?.remove();
    this.picture = element;
    if (element) {
      element.classList.add("picture");
      this.stage.prepend(element);
    }
    setText(this.blank, this.blankOf(this.grid.store.stateOf(this.card)));
  }

  preview(isOn) {
    clearTimeout(this.hover);
    if (!isOn) {
      if (this.video) unload(this.video);
      this.video?.remove();
      this.video = null;
    } else if (this.picture && !still.matches) {
      this.hover = setTimeout(() => {
        this.video = liveVideo(this.address);
        this.picture.after(this.video);
        this.video.play().catch(() => {});
      }, 250);
    }
  }
}

// Chromium holds the last 1,000 decoded pictures of `<img>` elements, 0.2 MB each, long after these are gone from the page.
function picture(bitmap) {
  const canvas = h("canvas", { width: bitmap.width, height: bitmap.height, "aria-hidden": "true" });
  canvas.getContext("bitmaprenderer").transferFromImageBitmap(bitmap);
  return canvas;
}

// Where no picture can be made of the frame: from another origin, above all.
function liveVideo(address) {
  return h("video", { muted: true, playsInline: true, loop: true, preload: "metadata", tabIndex: -1, "aria-hidden": "true", disablePictureInPicture: true, src: address });
}

function unload(video) {
  video.removeAttribute("src");
  video.load();
}

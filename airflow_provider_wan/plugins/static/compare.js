// Two videos side by side, in sync: one clock, one set of controls.

import { button, h, icon, setText } from "./dom.js";
import { costOf, modeName, money, span, times } from "./format.js";
import { nameOf } from "./data.js";
import { table } from "./player.js";
import { T } from "./texts.js";

const DRIFT = 0.08;
const SPEEDS = [0.25, 0.5, 1, 2];

export class Compare {
  constructor(store) {
    this.store = store;
    this.sides = h("div", { class: "sides" });
    this.differences = h("div", { class: "differences" });
    this.playButton = button("play", T.play, () => this.toggle());
    this.seek = h("input", { type: "range", min: 0, max: 1000, value: 0, "aria-label": T.seek, oninput: () => this.jump(Number(this.seek.value) / 1000) });
    this.clock = h("span", { class: "muted clock" });
    this.speed = h("select", { "aria-label": T.speed, onchange: () => this.setSpeed() }, SPEEDS.map((speed) => h("option", { value: speed, selected: speed === 1 }, `${speed}×`)));
    this.sound = h("select", { "aria-label": T.soundOf, onchange: () => this.setSound() }, [["", T.none], ["0", T.left], ["1", T.right]].map(([value, name]) => h("option", { value }, `${T.soundOf}: ${name}`)));
    this.element = h(
      "dialog",
      { class: "player compare", "aria-label": T.compareTwo },
      h("header", {}, h("h2", {}, T.compareTwo), h("span", { class: "space" }), button("swap", T.swap, () => this.show([...this.cards].reverse())), button("close", `${T.close} (Esc)`, () => this.element.close())),
      this.sides,
      h("div", { class: "controls" }, this.playButton, this.seek, this.clock, this.speed, this.sound),
      this.differences,
    );
    this.element.addEventListener("close", () => this.stop());
    this.element.addEventListener("keydown", (event) => {
      if (event.key === " " && !/^(BUTTON|SELECT)$/.test(event.target.tagName)) {
        event.preventDefault();
        this.toggle();
      }
    });
  }

  open(cards) {
    this.show(cards);
    if (!this.element.open) this.element.showModal();
    this.playButton.focus();
  }

  show(cards) {
    this.stop();
    this.cards = cards;
    this.videos = cards.map((card) => h("video", { playsInline: true, muted: true, loop: false, preload: "auto", src: this.store.sourceOf(card)?.address, "aria-label": nameOf(card) }));
    this.sides.replaceChildren(...cards.map((card, side) => h("figure", {}, this.videos[side], h("figcaption", {}, h("b", {}, nameOf(card)), h("span", { dir: "auto" }, card.prompt || T.noPrompt)))));
    this.showDifferences();
    this.setSpeed();
    this.setSound();
    const follow = () => {
      this.sync();
      this.frame = requestAnimationFrame(follow);
    };
    this.frame = requestAnimationFrame(follow);
  }

  stop() {
    cancelAnimationFrame(this.frame);
    for (const video of this.videos || []) {
      video.removeAttribute("src");
      video.load();
    }
    this.videos = [];
  }

  get length() {
    return Math.max(0, ...this.videos.map((video) => video.duration || 0));
  }

  toggle() {
    const isPaused = this.videos.every((video) => video.paused || video.ended);
    if (isPaused && this.videos.every((video) => video.ended)) this.jump(0);
    for (const video of this.videos) {
      if (isPaused) video.play().catch(() => {});
      else video.pause();
    }
  }

  jump(share) {
    for (const video of this.videos) video.currentTime = Math.min(share * this.length, video.duration || 0);
  }

  // The longer one leads; the other is pulled to its moment when it has drifted.
  sync() {
    const [lead, other] = [...this.videos].sort((one, two) => (two.duration || 0) - (one.duration || 0));
    if (!lead || !other) return;
    const moment = Math.min(lead.currentTime, other.duration || 0);
    if (!lead.seeking && !other.seeking && Math.abs(other.currentTime - moment) > DRIFT) other.currentTime = moment;
    const isPlaying = !lead.paused && !lead.ended;
    if (isPlaying !== this.wasPlaying) {
      this.wasPlaying = isPlaying;
      const label = isPlaying ? T.pause : T.play;
      this.playButton.replaceChildren(icon(isPlaying ? "pause" : "play"));
      this.playButton.title = label;
      this.playButton.setAttribute("aria-label", label);
    }
    if (document.activeElement !== this.seek || isPlaying) this.seek.value = String(this.length ? (1000 * lead.currentTime) / this.length : 0);
    setText(this.clock, `${lead.currentTime.toFixed(1)} / ${this.length.toFixed(1)} ${T.second}`);
  }

  setSpeed() {
    for (const video of this.videos) video.playbackRate = Number(this.speed.value);
  }

  setSound() {
    this.videos.forEach((video, side) => {
      video.muted = this.sound.value !== String(side);
    });
  }

  showDifferences() {
    const rows = this.cards.map((card) => {
      const cost = costOf(card);
      return {
        [T.prompt]: card.prompt,
        [T.negativePrompt]: card.negative_prompt,
        [T.names.mode]: modeName(card),
        [T.names.model]: card.model,
        [T.names.resolution]: card.resolution,
        [T.names.ratio]: card.ratio,
        [T.names.duration]: card.duration,
        [T.names.seed]: card.seed,
        [T.names.vendor]: card.vendor,
        [T.names.wan_conn_id]: card.wan_conn_id,
        [T.names.total_time]: span(times(card).total),
        [T.names.cost]: cost ? money(cost.amount, cost.currency) : "",
      };
    });
    const [left, right] = rows;
    const names = Object.keys(left).filter((name) => String(left[name] ?? "") !== String(right[name] ?? ""));
    const shown = names.map((name) => [name, h("span", { class: "pair" }, h("span", {}, String(left[name] ?? "–")), h("span", {}, String(right[name] ?? "–")))]);
    this.differences.replaceChildren(h("h3", {}, T.differences), names.length ? table(shown) : T.noDifferences);
  }
}

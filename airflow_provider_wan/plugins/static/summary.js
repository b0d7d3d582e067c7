// What stands above the grid: sums, progress, filters.

import { h, icon, setText, debounce } from "./dom.js";
import { money, span } from "./format.js";
import { sums } from "./data.js";
import { T } from "./texts.js";

const STATES = ["done", "running", "starting", "waiting", "failed", "in_doubt", "expired", "handed_on", "skipped"];
export const SIZES = ["60", "120", "250", "500"];
const MOST_GROUPS = 40;

export class Summary {
  constructor(store, view, changed) {
    Object.assign(this, { store, view, changed });
    this.chips = h("div", { class: "chips", role: "group", "aria-label": T.names.state });
    this.bar = h("div", { class: "bar", "aria-hidden": "true" });
    this.facts = h("dl", { class: "sums" });
    this.groups = h("details", { class: "groups" }, h("summary", {}, T.byTask), h("ul"));
    this.search = h("input", { type: "search", value: view.q, placeholder: T.search, "aria-label": T.search, "aria-keyshortcuts": "/" });
    this.search.addEventListener("input", debounce(() => this.set("q", this.search.value.trim()), 200));
    this.mode = this.choice("mode", T.mode);
    this.by = this.choice("by", T.task);
    this.account = this.choice("account", T.account);
    this.sort = this.choice("sort", T.sort);
    this.size = this.choice("size", T.perPage);
    this.reset = h("button", { type: "button", class: "plain", onclick: () => this.clear() }, T.clearFilters);
    this.element = h(
      "section",
      { class: "summary", "aria-label": T.title },
      this.bar,
      this.facts,
      this.groups,
      this.chips,
      h("div", { class: "filters" }, h("label", { class: "search" }, icon("search"), this.search), this.mode, this.by, this.account, this.sort, this.size, this.reset),
    );
  }

  choice(name, label) {
    return h("select", { "aria-label": label, title: label, onchange: (event) => this.set(name, event.target.value) });
  }

  set(name, value) {
    this.view[name] = value;
    this.view.page = "";
    this.changed();
  }

  clear() {
    for (const name of ["q", "state", "mode", "by", "account", "page"]) this.view[name] = "";
    this.search.value = "";
    this.changed();
  }

  show(all, matching) {
    const found = sums(this.store, matching);
    this.showBar(found);
    this.showFacts(found);
    this.showChips(found);
    this.showGroups(all);
    const modes = [...new Set(all.map((card) => card.mode).filter(Boolean))].sort();
    const tasks = [...new Set(all.map((card) => card.task))].sort();
    const accounts = [...new Set(all.map((card) => card.wan_conn_id).filter(Boolean))].sort();
    fill(this.mode, [["", T.anyMode], ...modes.map((mode) => [mode, T.modes[mode] || mode])], this.view.mode);
    fill(this.by, [["", T.anyTask], ...tasks.map((task) => [task, task])], this.view.by);
    fill(this.account, [["", T.anyAccount], ...accounts.map((account) => [account, account])], this.view.account);
    fill(this.sort, Object.entries(T.sorts), this.view.sort || "newest");
    fill(this.size, SIZES.map((size) => [size, size]), this.view.size || SIZES[0]);
    this.mode.hidden = modes.length < 2 && !this.view.mode;
    this.by.hidden = tasks.length < 2 && !this.view.by;
    this.account.hidden = accounts.length < 2 && !this.view.account;
    this.size.hidden = all.length <= Number(SIZES[0]);
    this.reset.hidden = !["q", "state", "mode", "by", "account"].some((name) => this.view[name]);
  }

  showBar(found) {
    this.bar.replaceChildren(...segments(found));
  }

  showFacts(found) {
    const costs = Object.entries(found.costs).map(([currency, amount]) => money(amount, currency));
    const rows = [[T.progress, T.doneOf(found.counts.done || 0, found.total)]];
    if (found.seconds) rows.push([T.seconds, span(found.seconds)]);
    if (found.median !== null) rows.push([T.medianTime, `${span(found.median)} (${T.median})`]);
    if (costs.length) rows.push([T.cost, costs.join(" + ") + (found.known < found.total ? ` (${T.costNote(found.known, found.total)})` : "")]);
    this.facts.replaceChildren(...rows.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
  }

  showChips(found) {
    const chips = [this.chip("", T.all, found.total)];
    for (const state of STATES) {
      if (found.counts[state] || this.view.state === state) chips.push(this.chip(state, T.states[state], found.counts[state] || 0));
    }
    const focused = this.chips.contains(document.activeElement) ? document.activeElement.dataset.state : null;
    this.chips.replaceChildren(...chips);
    if (focused !== null) this.chips.querySelector(`[data-state="${focused}"]`)?.focus();
  }

  chip(state, name, count) {
    const isOn = this.view.state === state;
    return h(
      "button",
      { type: "button", class: "chip state", "aria-pressed": String(isOn), data: { state }, title: T.stateHints[state] || "", onclick: () => this.set("state", isOn ? "" : state) },
      h("span", { class: "dot" }),
      `${name} `,
      h("b", {}, String(count)),
    );
  }

  showGroups(all) {
    const groups = new Map();
    for (const card of all) {
      if (!groups.has(card.task)) groups.set(card.task, []);
      groups.get(card.task).push(card);
    }
    this.groups.hidden = groups.size < 2 || groups.size > MOST_GROUPS;
    if (this.groups.hidden) return;
    const rows = [...groups].map(([task, cards]) => {
      const found = sums(this.store, cards);
      return h(
        "li",
        {},
        h("button", { type: "button", class: "plain", "aria-pressed": String(this.view.by === task), onclick: () => this.set("by", this.view.by === task ? "" : task) }, task),
        h("span", { class: "bar", "aria-hidden": "true" }, ...segments(found)),
        h("span", { class: "muted" }, T.doneOf(found.counts.done || 0, found.total)),
      );
    });
    this.groups.querySelector("ul").replaceChildren(...rows);
  }
}

function segments(found) {
  return STATES.filter((state) => found.counts[state]).map((state) => {
    const part = h("span", { data: { state } });
    part.style.setProperty("--share", String(found.counts[state]));
    return part;
  });
}

function fill(select, options, value) {
  const wanted = JSON.stringify(options);
  if (select.dataset.options !== wanted) {
    select.dataset.options = wanted;
    select.replaceChildren(...options.map(([key, label]) => h("option", { value: key }, label)));
  }
  select.value = value;
}

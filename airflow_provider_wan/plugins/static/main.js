// Puts the page together.

import { keepView, query, scope, view } from "./address.js";
import { Compare } from "./compare.js";
import { Store, chosen, nameOf, sorted, sums } from "./data.js";
import { button, h, setText } from "./dom.js";
import { span } from "./format.js";
import { Grid } from "./grid.js";
import { airflowAddress, followTheme, isInAirflow } from "./host.js";
import { Player } from "./player.js";
import { SIZES, Summary } from "./summary.js";
import { T } from "./texts.js";

followTheme();
const app = document.getElementById("app");
const store = new Store();
const picked = [];
let listed = [];
let paged = [];

const select = (id) => {
  const at = picked.indexOf(id);
  if (at >= 0) picked.splice(at, 1);
  else {
    picked.push(id);
    if (picked.length > 2) picked.shift();
  }
  grid.marks();
  showTray();
};
const isSelected = (id) => picked.includes(id);
const grid = new Grid(store, { open: (id) => openPlayer(id), select, isSelected });
const player = new Player(store, {
  select,
  isSelected,
  neighbours: (id, by = 0) => {
    const place = listed.findIndex((card) => card.id === id);
    const card = listed[place + by];
    if (by && card) {
      view.open = card.id;
      showPageOf(place + by);
    }
    return { place, count: listed.length, card };
  },
  closed: (id) => {
    view.open = "";
    keepView();
    grid.focus(id);
  },
});
const compare = new Compare(store);
const summary = new Summary(store, view, () => show());
const status = h("p", { class: "off-screen", role: "status" });
const live = h("span", { class: "live" });
const counted = h("span", { class: "muted" });
const message = h("div", { class: "empty", hidden: true });
const cut = h("p", { class: "cut", hidden: true }, T.cut);
const pager = h("nav", { class: "pager", hidden: true });
const tray = h("div", { class: "tray", hidden: true });

app.append(heading(), summary.element, cut, message, grid.element, pager, tray, status, player.element, compare.element);
store.onChange(show);
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !/^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName) && !document.querySelector("dialog[open]")) {
    event.preventDefault();
    summary.search.focus();
  }
});
setInterval(tick, 1000);
message.hidden = false;
message.textContent = T.loading;
store.begin();

function heading() {
  const steps = [];
  const step = (name, of, path) => steps.push(h("li", {}, h("a", { href: `./?${query(of)}`, "aria-current": undefined }, name), isInAirflow || !path ? null : h("a", { class: "up", href: airflowAddress(path), title: "Airflow" }, "↗")));
  if (!isInAirflow) step(T.allDags, {});
  if (scope.dag && !isInAirflow) {
    const part = encodeURIComponent;
    step(scope.dag, { dag: scope.dag }, `dags/${part(scope.dag)}`);
    if (scope.run) step(scope.run, { dag: scope.dag, run: scope.run }, `dags/${part(scope.dag)}/runs/${part(scope.run)}`);
    if (scope.task) step(scope.task + (scope.index ? ` [${scope.index}]` : ""), scope, null);
  }
  const title = scope.dag ? T.title : T.allRecent;
  return h("header", { class: "top" }, h("h1", {}, title), counted, live, h("span", { class: "space" }), steps.length ? h("nav", { "aria-label": T.crumbs }, h("ol", {}, steps)) : null);
}

function show() {
  const all = store.all();
  const matching = chosen(store, view);
  summary.show(all, matching);
  const withState = view.state ? matching.filter((card) => store.stateOf(card) === view.state) : matching;
  listed = sorted(withState, view.sort);
  const size = Number(view.size) || Number(SIZES[0]);
  const pages = Math.max(1, Math.ceil(listed.length / size));
  const page = Math.min(pages, Math.max(1, Number(view.page) || 1));
  paged = listed.slice((page - 1) * size, page * size);
  grid.show(paged);
  showPager(page, pages);
  showMessage(all);
  cut.hidden = !store.isCut;
  setText(counted, all.length ? T.shownOf(listed.length, all.length) : "");
  const found = sums(store, all);
  if (store.isLoaded && all.length) setText(status, T.announce(found.counts.done || 0, found.total, found.counts.failed || 0));
  openAsAsked();
  if (player.isOpen) player.refresh(store.cards.get(view.open));
  keepView();
  showTray();
  tick();
}

function openAsAsked() {
  if (player.isOpen || !view.open || !store.isLoaded) return;
  const card = store.cards.get(view.open);
  if (card) player.open(card);
  else view.open = "";
}

function openPlayer(id) {
  view.open = id;
  keepView();
  player.open(store.cards.get(id));
}

function showPageOf(place) {
  const size = Number(view.size) || Number(SIZES[0]);
  const page = String(Math.floor(place / size) + 1);
  if ((view.page || "1") !== page) {
    view.page = page;
    show();
  } else keepView();
}

function showPager(page, pages) {
  pager.hidden = pages < 2;
  if (pager.hidden) return;
  const go = (to) => {
    view.page = String(to);
    show();
    grid.element.querySelector(".opener")?.focus();
    window.scrollTo(0, 0);
  };
  pager.replaceChildren(button("previous", T.previousPage, () => go(page - 1), { disabled: page <= 1 }), h("span", {}, T.page(page, pages)), button("next", T.nextPage, () => go(page + 1), { disabled: page >= pages }));
}

function showMessage(all) {
  const { problem } = store;
  const say = (title, text, action) => {
    message.hidden = false;
    message.replaceChildren(h("h2", {}, title), h("p", {}, text), action || "");
  };
  summary.element.hidden = !all.length;
  if (problem && !store.isLoaded) {
    if (problem.status === 401) say(T.signIn, T.signInText, h("a", { href: location.href, class: "plain" }, T.tryAgain));
    else if (problem.status === 403) say(T.noAccess, T.noAccessText);
    else say(T.trouble, problem.message, h("button", { type: "button", onclick: () => store.refresh() }, T.tryAgain));
  } else if (!all.length) {
    if (scope.task) say(T.emptyTask, T.emptyTaskText);
    else if (scope.dag) say(T.emptyRun, T.emptyRunText);
    else say(T.emptyAll, T.emptyAllText);
  } else if (!listed.length) say(T.emptyFilter, "", h("button", { type: "button", onclick: () => summary.clear() }, T.clearFilters));
  else message.hidden = true;
}

function showTray() {
  for (const id of [...picked]) if (!store.cards.has(id)) picked.splice(picked.indexOf(id), 1);
  tray.hidden = picked.length === 0;
  if (tray.hidden) return;
  const cards = picked.map((id) => store.cards.get(id));
  tray.replaceChildren(
    ...cards.map((card) => h("span", { class: "chip" }, nameOf(card), button("close", `${T.deselect}: ${nameOf(card)}`, () => select(card.id)))),
    cards.length < 2
      ? h("span", { class: "muted" }, T.compareHint)
      : h(
          "button",
          {
            type: "button",
            class: "main",
            onclick: () => {
              if (player.isOpen) player.element.close();
              compare.open(cards);
            },
          },
          T.compareTwo,
        ),
  );
}

function tick() {
  grid.tick();
  if (player.isOpen) player.tick();
  const isLate = store.isLoaded && store.problem;
  live.dataset.state = isLate ? "failed" : store.isOpen() ? "live" : "idle";
  setText(live, isLate ? T.notLive : store.isOpen() ? T.live : store.isLoaded ? T.updated(span((Date.now() - store.loadedAt) / 1000)) : "");
}

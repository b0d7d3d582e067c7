// The cards: loaded once, then what has changed; and what is made of them.

import { query, scope } from "./address.js";
import { between, costOf, times } from "./format.js";

const POLL_OPEN = 5000;
const POLL_IDLE = 30000;
export const OPEN_STATES = new Set(["waiting", "starting", "running"]);

export class Store {
  constructor() {
    this.cards = new Map();
    this.isCut = false;
    this.problem = null;
    this.isLoaded = false;
    this.loadedAt = 0;
    this.skew = 0;
    this.listeners = [];
    this.next = null;
    this.timer = null;
  }

  onChange(listener) {
    this.listeners.push(listener);
  }

  begin() {
    document.addEventListener("visibilitychange", () => !document.hidden && this.refresh());
    return this.refresh();
  }

  async refresh() {
    clearTimeout(this.timer);
    if (this.isBusy) return;
    this.isBusy = true;
    try {
      await this.fetch();
    } finally {
      this.isBusy = false;
    }
    for (const listener of this.listeners) listener();
    if (this.problem && [401, 403].includes(this.problem.status)) return;
    if (!document.hidden) this.timer = setTimeout(() => this.refresh(), this.isOpen() ? POLL_OPEN : POLL_IDLE);
  }

  isOpen() {
    return [...this.cards.values()].some((card) => OPEN_STATES.has(card.state) || ["running", "deferred"].includes(card.airflow));
  }

  async fetch() {
    const { dag, ...rest } = scope;
    const path = dag ? `api/dags/${encodeURIComponent(dag)}/videos` : "api/videos";
    try {
      const answer = await fetch(`${path}?${query({ ...(dag ? rest : {}), since: this.next })}`, { headers: { Accept: "application/json" } });
      if (!answer.ok) throw Object.assign(new Error(`HTTP ${answer.status}`), { status: answer.status });
      const body = await answer.json();
      this.take(body);
      this.problem = null;
    } catch (problem) {
      this.problem = problem;
    }
  }

  take(body) {
    this.skew = Date.parse(body.now) - Date.now();
    this.next = body.next;
    this.isCut = this.isCut || body.cut;
    this.isLoaded = true;
    this.loadedAt = Date.now();
    for (const card of body.cards) {
      card.id = [card.dag, card.run, card.task, card.index, card.n === undefined ? "" : card.n].join("|");
      card.seen = digest(JSON.stringify(card));
      card.order = this.cards.get(card.id)?.order ?? this.cards.size;
      if (this.cards.get(card.id)?.seen !== card.seen) this.cards.set(card.id, card);
      // A batch shows one card of its own until its items are known.
      if (card.n !== undefined) this.cards.delete([card.dag, card.run, card.task, card.index, ""].join("|"));
    }
  }

  now() {
    return Date.now() + this.skew;
  }

  all() {
    return [...this.cards.values()];
  }

  // The state that people see: a video that cannot be fetched any more is not "done" to them.
  stateOf(card) {
    return card.state === "done" && !card.uri && this.isExpired(card) ? "expired" : card.state;
  }

  isExpired(card) {
    return !card.url || (card.url_expires_at && Date.parse(card.url_expires_at) <= this.now());
  }

  // Where the video plays from; the stored file is named by its task, never by its place.
  sourceOf(card) {
    if (card.uri) {
      const of = { run: card.run, task: card.task, index: card.index, n: card.n, item: card.item, v: (card.sha256 || "").slice(0, 8) };
      return { kind: "stored", address: new URL(`media/${encodeURIComponent(card.dag)}?${query(of)}`, location.href).href };
    }
    return card.url && !this.isExpired(card) ? { kind: "vendor", address: card.url } : null;
  }

  secondsSince(card) {
    return card.submitted_at ? between(card.submitted_at, new Date(this.now()).toISOString()) : null;
  }
}

// Of 53 bits: the texts themselves would hold the cards of a large run twice.
function digest(text) {
  let one = 0x9e3779b1;
  let two = 0x85ebca77;
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    one = Math.imul(one ^ code, 0x27d4eb2f);
    two = Math.imul(two ^ code, 0x165667b1);
  }
  one = Math.imul(one ^ (one >>> 15), 0x85ebca6b) ^ Math.imul(two ^ (two >>> 13), 0xc2b2ae35);
  two = Math.imul(two ^ (two >>> 16), 0x27d4eb2d) ^ Math.imul(one ^ (one >>> 14), 0x165667b1);
  return (two & 0x1fffff) * 0x100000000 + (one >>> 0);
}

export function nameOf(card) {
  return card.item ? `${card.task} · ${card.item}` : card.label ? `${card.task} [${card.index}]` : card.index >= 0 ? `${card.task} [${card.index}]` : card.task;
}

export function chosen(store, view) {
  const words = view.q.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = (card) =>
    (!view.mode || card.mode === view.mode) &&
    (!view.by || card.task === view.by) &&
    (!view.account || card.wan_conn_id === view.account) &&
    words.every((word) => textOf(card).includes(word));
  return store.all().filter(fits);
}

function textOf(card) {
  card.text ??= [card.prompt, card.actual_prompt, card.negative_prompt, card.label, card.item, card.task, card.task_id].join(" ").toLowerCase();
  return card.text;
}

const began = (card) => Date.parse(card.submitted_at || card.start || card.queued_at || "") || 0;
const SORTS = {
  order: (one, other) => one.order - other.order,
  newest: (one, other) => began(other) - began(one) || one.order - other.order,
  oldest: (one, other) => (began(one) || Infinity) - (began(other) || Infinity) || one.order - other.order,
  cost: (one, other) => (costOf(other)?.amount ?? -1) - (costOf(one)?.amount ?? -1) || one.order - other.order,
  duration: (one, other) => (times(other).total ?? -1) - (times(one).total ?? -1) || one.order - other.order,
};

export function sorted(cards, name) {
  return [...cards].sort(SORTS[name] || SORTS.newest);
}

export function sums(store, cards) {
  const counts = {};
  const costs = {};
  const lengths = [];
  let known = 0;
  let seconds = 0;
  for (const card of cards) {
    const state = store.stateOf(card);
    counts[state] = (counts[state] || 0) + 1;
    const cost = costOf(card);
    if (cost) {
      known += 1;
      costs[cost.currency] = (costs[cost.currency] || 0) + cost.amount;
    }
    if (card.state === "done" && card.duration) seconds += card.duration;
    const total = times(card).total;
    if (card.state === "done" && total !== null) lengths.push(total);
  }
  lengths.sort((one, other) => one - other);
  return { total: cards.length, counts, costs, known, seconds, median: lengths.length ? lengths[Math.floor(lengths.length / 2)] : null };
}

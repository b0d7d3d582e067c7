// Numbers and times for people.

import { T } from "./texts.js";

export function span(seconds) {
  if (seconds === null || seconds === undefined || Number.isNaN(seconds)) return "";
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${whole % 60} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

export function between(from, until) {
  const seconds = (Date.parse(until) - Date.parse(from)) / 1000;
  return Number.isFinite(seconds) && seconds >= 0 ? seconds : null;
}

export function money(amount, currency) {
  if (typeof amount !== "number" || !Number.isFinite(amount)) return "";
  const digits = Math.abs(amount) < 1 ? 4 : 2;
  try {
    return new Intl.NumberFormat("en", { style: "currency", currency, minimumFractionDigits: 2, maximumFractionDigits: digits }).format(amount);
  } catch {
    return `${amount.toFixed(digits)} ${currency || ""}`.trim();
  }
}

export function costOf(card) {
  const cost = card.cost || {};
  const amount = Number(cost.amount);
  return cost.amount !== undefined && cost.amount !== null && Number.isFinite(amount)
    ? { amount, currency: String(cost.currency || ""), basis: cost.basis }
    : null;
}

export function bytes(count) {
  const units = ["B", "kB", "MB", "GB"];
  let value = count;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value < 10 && unit ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

export function moment(iso) {
  const date = new Date(iso);
  return Number.isNaN(date.getTime()) ? String(iso) : date.toLocaleString();
}

export function modeName(card) {
  return T.modes[card.mode] || card.mode || "";
}

// Times of one video: what the vendor says, else what Airflow saw.
export function times(card) {
  const queue = between(card.submitted_at, card.started_at);
  const run = between(card.started_at, card.finished_at);
  const total = between(card.submitted_at, card.finished_at);
  return { queue, run, total };
}

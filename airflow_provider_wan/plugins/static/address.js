// What is shown, as the address says it. Airflow 3.1 leaves a raw "+" in a run id: the query is read by hand.

const VIEW = ["q", "state", "mode", "by", "account", "sort", "size", "page", "open"];
const SCOPE = ["dag", "run", "task", "index"];
const params = read();

function read() {
  const found = {};
  for (const pair of location.search.slice(1).split("&")) {
    const [name, ...rest] = pair.split("=");
    const raw = rest.join("=");
    let value = raw;
    try {
      value = decodeURIComponent(raw);
    } catch {
      // kept as it came
    }
    // A token that Airflow did not fill in.
    if (name && value && !value.startsWith("{")) found[name] = value;
  }
  return found;
}

export const scope = Object.fromEntries(SCOPE.map((name) => [name, params[name]]));
if (scope.index === "-1" || !/^\d+$/.test(scope.index || "")) scope.index = undefined;
if (!scope.dag) scope.run = scope.task = scope.index = undefined;

const storageKey = `wan-videos ${JSON.stringify(scope)}`;
const isTab = params.tab === "1";

function remembered() {
  // Airflow destroys the tab's page when another tab is chosen.
  if (!isTab || VIEW.some((name) => params[name])) return {};
  try {
    return JSON.parse(sessionStorage.getItem(storageKey)) || {};
  } catch {
    return {};
  }
}

const source = { ...remembered(), ...params };
export const view = Object.fromEntries(VIEW.map((name) => [name, source[name] || ""]));

export function query(of) {
  return Object.entries(of)
    .filter(([, value]) => value !== undefined && value !== null && value !== "")
    .map(([name, value]) => `${name}=${encodeURIComponent(value)}`)
    .join("&");
}

export function keepView() {
  const text = query({ ...scope, tab: isTab ? "1" : "", ...view });
  history.replaceState(null, "", text ? `?${text}` : location.pathname);
  try {
    if (isTab) sessionStorage.setItem(storageKey, JSON.stringify(view));
  } catch {
    // private mode
  }
}

export function pageOf(card) {
  const of = { dag: card.dag, run: card.run, task: card.task, index: card.index >= 0 ? card.index : undefined };
  const text = query({ ...of, open: card.n === undefined ? "" : card.id });
  return new URL(`./?${text}`, location.href).href;
}

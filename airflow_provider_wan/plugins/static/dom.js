// Building elements. Data becomes text nodes and attributes only, never markup.

export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else if (name === "data") Object.assign(element.dataset, value);
    else if (name in element && !name.startsWith("aria") && name !== "list" && name !== "role") element[name] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const PATHS = {
  close: "M6 6l12 12M18 6L6 18",
  previous: "M15 5l-7 7 7 7",
  next: "M9 5l7 7-7 7",
  loop: "M17 2l4 4-4 4M3 11V9a3 3 0 013-3h15M7 22l-4-4 4-4M21 13v2a3 3 0 01-3 3H3",
  fullscreen: "M8 3H3v5M16 3h5v5M8 21H3v-5M16 21h5v-5",
  download: "M12 3v13M6 11l6 6 6-6M4 21h16",
  copy: "M9 9h11v12H9zM5 15H4V3h11v1",
  log: "M5 4h14v16H5zM8 8h8M8 12h8M8 16h5",
  link: "M10 14a4 4 0 006 0l4-4a4 4 0 00-6-6l-1 1M14 10a4 4 0 00-6 0l-4 4a4 4 0 006 6l1-1",
  out: "M14 4h6v6M20 4l-9 9M18 14v6H4V6h6",
  compare: "M3 5h7v14H3zM14 5h7v14h-7z",
  again: "M4 4v6h6M20 12a8 8 0 10-2.6 5.9",
  play: "M7 4l13 8-13 8z",
  pause: "M7 4v16M17 4v16",
  swap: "M7 7h13l-4-4M17 17H4l4 4",
  check: "M4 12l6 6L20 6",
  search: "M10.5 4a6.5 6.5 0 100 13 6.5 6.5 0 000-13zM15.5 15.5L21 21",
  film: "M3 5h18v14H3zM8 5v14M16 5v14M3 10h5M3 14h5M16 10h5M16 14h5",
};

export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.classList.add("icon");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}

export function button(name, label, onclick, props = {}) {
  return h("button", { type: "button", title: label, "aria-label": label, onclick, class: "tool", ...props }, icon(name));
}

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function debounce(work, milliseconds) {
  let timer;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...given), milliseconds);
  };
}

// Airflow around the page: its theme, its links. The page may stand in a tab of Airflow (an iframe) or on its own.

const parentDocument = (() => {
  try {
    return window.parent !== window ? window.parent.document : null;
  } catch {
    return null; // another origin
  }
})();

export const isInAirflow = parentDocument !== null;

// Airflow's root: the page lies one folder below it, under a base-url prefix too.
export const airflowRoot = new URL("../", new URL(".", location.href));

const COLOURS = {
  "--bg": "--chakra-colors-bg",
  "--fg": "--chakra-colors-fg",
  "--muted": "--chakra-colors-fg-muted",
  "--border": "--chakra-colors-border",
  "--subtle": "--chakra-colors-bg-subtle",
};

export function followTheme() {
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const apply = () => {
    let theme = null;
    if (parentDocument) {
      const host = parentDocument.documentElement;
      theme = host.classList.contains("dark") ? "dark" : host.classList.contains("light") ? "light" : null;
      const style = window.parent.getComputedStyle(host);
      for (const [ours, theirs] of Object.entries(COLOURS)) {
        const value = style.getPropertyValue(theirs).trim();
        if (value) root.style.setProperty(ours, value);
        else root.style.removeProperty(ours);
      }
    } else {
      try {
        theme = localStorage.getItem("theme");
      } catch {
        theme = null;
      }
    }
    root.dataset.theme = theme === "dark" || theme === "light" ? theme : dark.matches ? "dark" : "light";
  };
  apply();
  dark.addEventListener("change", apply);
  if (parentDocument) {
    new MutationObserver(apply).observe(parentDocument.documentElement, { attributes: true, attributeFilter: ["class"] });
  } else {
    window.addEventListener("storage", apply);
  }
}

const part = encodeURIComponent;

export function instancePath(card) {
  const mapped = card.index >= 0 ? `/mapped/${card.index}` : "";
  return `dags/${part(card.dag)}/runs/${part(card.run)}/tasks/${part(card.task)}${mapped}`;
}

export function instanceApi(card) {
  const index = card.index >= 0 ? `/${card.index}` : "";
  return new URL(
    `api/v2/dags/${part(card.dag)}/dagRuns/${part(card.run)}/taskInstances/${part(card.task)}${index}`,
    airflowRoot,
  );
}

export function airflowAddress(path) {
  return new URL(path, airflowRoot).href;
}

// An iframe may not lead its host elsewhere, nor open windows; a link that stands in the host's document may.
function clickInHost(props) {
  const document_ = parentDocument || document;
  const link = document_.createElement("a");
  Object.assign(link, { rel: "noopener noreferrer", ...props });
  document_.body.append(link);
  link.click();
  link.remove();
}

export function follow(event, address) {
  if (!parentDocument) return;
  event.preventDefault();
  const isNew = event.ctrlKey || event.metaKey || event.currentTarget.target === "_blank";
  if (isNew) window.parent.open(address, "_blank", "noopener");
  else clickInHost({ href: address });
}

export function saveFile(address, name) {
  clickInHost({ href: address, download: name });
}

export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "off-screen";
    (document.querySelector("dialog[open]") || document.body).append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

// What pages do beyond showing themselves: parts that keep themselves fresh, the choice of colours, a question before a loss.
"use strict";

// A part with data-live="5" is fetched again every five seconds while the page is seen.
function keepFresh(part) {
  const timer = setInterval(async () => {
    if (document.hidden) return;
    let page;
    try {
      const answer = await fetch(location.href);
      if (answer.redirected) return location.reload(); // signed out meanwhile
      if (!answer.ok) return;
      page = new DOMParser().parseFromString(await answer.text(), "text/html");
    } catch {
      return; // the service is away; the next round asks again
    }
    const fresh = page.getElementById(part.id);
    if (!fresh) return clearInterval(timer);
    replaceChanged(part, fresh);
    if (!fresh.dataset.live) clearInterval(timer);
  }, 1000 * Number(part.dataset.live));
}

// Only what differs is replaced, so that a screen reader does not say an old alert again, and never where somebody is.
function replaceChanged(part, fresh) {
  const before = [...part.children];
  const after = [...fresh.children];
  if (before.length !== after.length) {
    if (part === document.activeElement || !part.contains(document.activeElement)) part.replaceChildren(...after);
    return;
  }
  before.forEach((child, place) => {
    if (child.outerHTML !== after[place].outerHTML && !child.contains(document.activeElement)) child.replaceWith(after[place]);
  });
}

// Colours follow the system until somebody chooses.
function offerTheme(button) {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (localStorage.getItem("theme") || (system.matches ? "dark" : "light")) === "dark";
  const show = () => {
    if (localStorage.getItem("theme")) document.documentElement.dataset.theme = localStorage.getItem("theme");
    button.setAttribute("aria-pressed", String(isDark()));
  };
  show();
  system.addEventListener("change", show);
  button.hidden = false;
  button.addEventListener("click", () => {
    localStorage.setItem("theme", isDark() ? "light" : "dark");
    show();
  });
}

document.querySelectorAll("[data-live]").forEach(keepFresh);
document.querySelectorAll("[data-theme-switch]").forEach(offerTheme);
document.querySelectorAll("[data-confirm]").forEach((button) =>
  button.addEventListener("click", (event) => {
    if (!confirm(button.dataset.confirm)) event.preventDefault();
  }),
);

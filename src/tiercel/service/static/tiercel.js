// What pages do beyond showing themselves: parts that keep themselves fresh, the choice of colours, a question before a loss.
"use strict";

// A part with data-live="5" is fetched again every five seconds, unless somebody works in it or the page is hidden.
function keepFresh(part) {
  const timer = setInterval(async () => {
    if (document.hidden || (part !== document.activeElement && part.contains(document.activeElement))) return;
    let page;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (answer.redirected) return location.reload(); // signed out meanwhile
      if (!answer.ok) return;
      page = new DOMParser().parseFromString(await answer.text(), "text/html");
    } catch {
      return; // the service is away; the next round asks again
    }
    const fresh = page.getElementById(part.id);
    if (!fresh) return clearInterval(timer);
    part.replaceChildren(...fresh.childNodes);
    if (!fresh.dataset.live) clearInterval(timer);
  }, 1000 * Number(part.dataset.live));
}

function showTheme(button, theme) {
  document.documentElement.dataset.theme = theme;
  button.setAttribute("aria-pressed", String(theme === "dark"));
}

function offerTheme(button) {
  const preferred = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  showTheme(button, localStorage.getItem("theme") || preferred);
  button.hidden = false;
  button.addEventListener("click", () => {
    const theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    localStorage.setItem("theme", theme);
    showTheme(button, theme);
  });
}

document.querySelectorAll("[data-live]").forEach(keepFresh);
document.querySelectorAll("[data-theme-switch]").forEach(offerTheme);
document.querySelectorAll("[data-confirm]").forEach((button) =>
  button.addEventListener("click", (event) => {
    if (!confirm(button.dataset.confirm)) event.preventDefault();
  }),
);

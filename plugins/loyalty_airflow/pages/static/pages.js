// Airflow keeps the chosen theme under this name, and changing it is its signal to its frames.
"use strict";
(function () {
  function show() {
    const chosen = localStorage.getItem("theme");
    const isDark = chosen === "dark" || (chosen !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
    document.documentElement.dataset.theme = isDark ? "dark" : "light";
  }
  show();
  addEventListener("storage", show);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
})();

// A page that asks for itself says so when it gets no answer: what it shows would look like an import that hangs.
(function () {
  function showStale(isStale) {
    document.getElementById("stale").hidden = !isStale;
  }
  for (const name of ["htmx:responseError", "htmx:sendError", "htmx:timeout"]) {
    document.addEventListener(name, () => showStale(true));
  }
  document.addEventListener("htmx:afterSwap", () => showStale(false));
})();

// The sandbox of Airflow's frame (3.3.2) lets no link leave it. Those that must are followed by the page around it, which
// is of the same origin. No link can open a tab.
(function () {
  if (window === window.top) return;
  document.addEventListener("click", function (event) {
    const link = event.target instanceof Element && event.target.closest("a[target=_top]");
    if (!link || event.defaultPrevented || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const outer = window.top.document.createElement("a");
    outer.href = link.href;
    window.top.document.body.append(outer);
    outer.click();
    outer.remove();
  });
})();

// A page that has waited for another is replaced by it, so that Back doesn't lead to the waiting.
document.addEventListener("htmx:beforeOnLoad", function (event) {
  const target = event.detail.xhr.getResponseHeader("Replace-Page");
  if (!target) return;
  event.preventDefault();
  location.replace(target);
});

// Folds and unfolds all code of a page. Each fold also works by itself, without this script.
(function () {
  "use strict";
  const button = document.querySelector("[data-code-toggle]");
  const folds = Array.from(document.querySelectorAll("details.code"));
  if (!button || folds.length === 0) {
    return;
  }
  const show = function () {
    const all = folds.every(function (fold) { return fold.open; });
    button.setAttribute("aria-pressed", String(all));
  };
  button.hidden = false;
  button.addEventListener("click", function () {
    const open = button.getAttribute("aria-pressed") !== "true";
    folds.forEach(function (fold) { fold.open = open; });
    show();
  });
  folds.forEach(function (fold) { fold.addEventListener("toggle", show); });
})();

// Comfort for readers: everything on the page can be read, folded and printed without this script.
(function () {
  "use strict";

  // Return a button with these words, and a longer label where several are alike.
  const button = function (words, label, act) {
    const made = document.createElement("button");
    made.type = "button";
    made.append(...words);
    if (label) {
      made.setAttribute("aria-label", label);
    }
    made.addEventListener("click", act);
    return made;
  };

  // Fold and unfold all code of a page.
  const toggle = document.querySelector("[data-code-toggle]");
  const folds = Array.from(document.querySelectorAll("details.code"));
  const show = function () {
    toggle.setAttribute("aria-pressed", String(folds.every(function (fold) { return fold.open; })));
  };
  if (toggle && folds.length > 0) {
    toggle.hidden = false;
    toggle.addEventListener("click", function () {
      const open = toggle.getAttribute("aria-pressed") !== "true";
      folds.forEach(function (fold) { fold.open = open; });
      show();
    });
    folds.forEach(function (fold) { fold.addEventListener("toggle", show); });
  }

  // On a phone, the contents would push the text off the screen.
  const contents = document.querySelector(".contents > details");
  if (contents && window.matchMedia("(max-width: 63.99rem)").matches) {
    contents.open = false;
  }

  // Sort a table by a column: numbers by value, all else as words; what is unknown comes last.
  const key = function (cell) {
    const text = cell.dataset.value || cell.textContent.trim();
    const number = /^[-−+<>~≈±]*\s*[\d.,]+/.exec(text);
    return number ? parseFloat(number[0].replace(/[^\d.−-]/g, "").replace("−", "-")) : text.toLowerCase();
  };
  const order = function (one, other) {
    const mixed = (typeof one === "string") - (typeof other === "string");
    return mixed || (typeof one === "string" ? one.localeCompare(other) : one - other);
  };
  const sort = function (table, column, header) {
    const falling = header.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    const rows = Array.from(table.tBodies[0].rows, function (row) { return [key(row.cells[column]), row]; });
    rows.sort(function (one, other) { return falling * order(one[0], other[0]); });
    table.tBodies[0].append(...rows.map(function (row) { return row[1]; }));
    table.querySelectorAll("[aria-sort]").forEach(function (old) { old.removeAttribute("aria-sort"); });
    header.setAttribute("aria-sort", falling === 1 ? "ascending" : "descending");
  };
  const asText = function (table) {
    return Array.from(table.rows, function (row) {
      return Array.from(row.cells, function (cell) {
        return (cell.innerText.trim() || cell.dataset.value || "").replace(/\s+/g, " ");
      }).join("\t");
    }).join("\n");
  };
  const addCopy = function (place, label, text) {
    const copy = button(["Copy"], label, function () {
      navigator.clipboard.writeText(text()).then(function () { copy.textContent = "Copied"; });
    });
    copy.className = "tool";
    place.after(copy);
  };
  document.querySelectorAll(".scroll > table").forEach(function (table) {
    const headers = table.tHead && table.tHead.rows.length === 1 ? Array.from(table.tHead.rows[0].cells) : [];
    // On a phone, a row becomes a card, with the name of its column beside each value; two columns fit, a matrix stays one,
    // and so does a long one: its cards would be a long way to scroll.
    if (headers.length > 2 && table.rows.length < 14 && !table.matches(".difference, [data-vertical]")) {
      const names = headers.map(function (header) { return header.textContent.trim(); });
      table.classList.add("cards");
      table.querySelectorAll("tbody tr").forEach(function (row) {
        Array.from(row.cells).forEach(function (cell, column) {
          if (cell.tagName === "TD" && names[column]) {
            cell.dataset.label = names[column];
          }
        });
      });
    }
    const plain = table.tBodies.length === 1 && !table.tBodies[0].querySelector("[colspan], [rowspan]");
    if (headers.length > 0 && plain && table.tBodies[0].rows.length > 2) {
      headers.forEach(function (header, column) {
        if (header.textContent.trim() && !header.querySelector("svg")) {
          const words = Array.from(header.childNodes);
          header.append(button(words, "", function () { sort(table, column, header); }));
        }
      });
    }
    if (headers.length > 0) {
      const box = table.parentElement;
      addCopy(box, "Copy the table: " + box.getAttribute("aria-label"), function () { return asText(table); });
    }
  });
  document.querySelectorAll("pre:has(> code)").forEach(function (block) {
    addCopy(block, "Copy the text above", function () { return block.textContent; });
  });

  // Show a figure at its full size.
  const box = document.createElement("dialog");
  box.className = "lightbox";
  box.addEventListener("click", function () { box.close(); });
  document.body.append(box);
  document.querySelectorAll(".figure > img").forEach(function (image) {
    const enlarge = button([], "Enlarge the figure: " + image.alt.slice(0, 80), function () {
      const large = image.cloneNode();
      large.removeAttribute("width");
      box.replaceChildren(button(["Close"], "", function () { box.close(); }), large);
      box.showModal();
    });
    image.replaceWith(enlarge);
    enlarge.append(image);
  });
})();

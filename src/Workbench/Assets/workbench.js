"use strict";

// What Blazor's components cannot do on the server: the clipboard, downloads, and moving through a heat map without a round trip.
window.workbench = {
  async copy(text) {
    await navigator.clipboard.writeText(text);
  },

  download(name, type, text) {
    save(name, new Blob([text], { type }));
  },

  // Draws an SVG on a canvas of twice its size.
  async downloadPng(name, svg) {
    const url = URL.createObjectURL(new Blob([svg], { type: "image/svg+xml" }));
    try {
      const image = new Image();
      image.src = url;
      await image.decode();
      const canvas = document.createElement("canvas");
      canvas.width = 2 * image.naturalWidth;
      canvas.height = 2 * image.naturalHeight;
      const context = canvas.getContext("2d");
      context.fillStyle = "white";
      context.fillRect(0, 0, canvas.width, canvas.height);
      context.drawImage(image, 0, 0, canvas.width, canvas.height);
      save(name, await new Promise(resolve => canvas.toBlob(resolve, "image/png")));
    } finally {
      URL.revokeObjectURL(url);
    }
  },

  focus(id) {
    document.getElementById(id)?.focus();
  },
};

function save(name, blob) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

// A heat map is a table whose cells have data-detail. The one under the pointer, or with the focus, is described below the table.
// One cell can be reached with Tab; the arrow keys, Home and End move from there.
function cellOf(event) {
  return event.target instanceof Element ? event.target.closest("td[data-detail]") : null;
}

function describe(cell) {
  const output = document.getElementById(cell.closest("table").dataset.describes);
  if (output && output.textContent !== cell.dataset.detail) output.textContent = cell.dataset.detail;
}

document.addEventListener("mouseover", event => {
  const cell = cellOf(event);
  if (cell) describe(cell);
});

document.addEventListener("focusin", event => {
  const cell = cellOf(event);
  if (!cell) return;
  for (const other of cell.closest("tbody").querySelectorAll("td[tabindex='0']")) other.tabIndex = -1;
  cell.tabIndex = 0;
  describe(cell);
});

document.addEventListener("keydown", event => {
  const cell = cellOf(event);
  if (!cell || event.ctrlKey || event.altKey || event.metaKey) return;
  const row = cell.parentElement, cells = [...row.querySelectorAll("td")], column = cells.indexOf(cell);
  const next = {
    ArrowLeft: () => cells[column - 1],
    ArrowRight: () => cells[column + 1],
    ArrowUp: () => row.previousElementSibling?.querySelectorAll("td")[column],
    ArrowDown: () => row.nextElementSibling?.querySelectorAll("td")[column],
    Home: () => cells[0],
    End: () => cells[cells.length - 1],
  }[event.key];
  if (!next) return;
  event.preventDefault();
  const target = next();
  if (target?.dataset.detail) target.focus();
});

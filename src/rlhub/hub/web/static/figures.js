// Draws Plotly figures where they come into view, in the colours of the page: <div class="plot" data-source="/api/..."></div>.
"use strict";

(() => {
  const INKS = new Set(["#222222", "#222", "#111111", "#000000", "black", "#555555"]);

  /** A trace whose black is the page's ink. */
  function inked(trace) {
    const ink = Drawing.colours().text;
    const own = { ...trace };
    for (const part of ["line", "marker", "error_x", "error_y", "textfont"]) {
      if (own[part] && INKS.has(own[part].color)) own[part] = { ...own[part], color: ink };
    }
    return own;
  }

  async function figure(element) {
    const data = await Drawing.load(element);
    if (data === null) return;
    const title = data.layout.title;
    const width = data.layout.width || 0;
    const layout = { ...data.layout, autosize: true };
    delete layout.width;
    // What is drawn for a wide page is scrolled on a narrow one, not squeezed.
    element.style.minWidth = `${Math.min(width, Math.max(560, 0.62 * width))}px`;
    element.style.maxWidth = `${Math.max(width, 900)}px`;
    if (title && title.text) layout.title = { ...title, automargin: true };
    element.textContent = "";
    Drawing.inColours(() => Plotly.react(element, data.data.map(inked), Drawing.painted(layout), Drawing.CONFIG));
  }

  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll(".plot[data-source]").forEach((element) => Drawing.whenSeen(element, () => figure(element)));
  });
})();

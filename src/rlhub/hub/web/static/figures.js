// Draws Plotly figures where they come into view, in the colours of the page: <div class="plot" data-source="/api/..."></div>.
// What it shares with circuit.js, which must be loaded after it, is window.Drawing.
"use strict";

window.Drawing = (() => {
  const INKS = new Set(["#222222", "#222", "#111111", "#000000", "black", "#555555"]);
  const redraws = new Set();

  /** The page's colours as they are at this moment. */
  function colours() {
    const style = getComputedStyle(document.documentElement);
    const read = (name, otherwise) => style.getPropertyValue(name).trim() || otherwise;
    return {
      text: read("--text", "#1d2129"),
      muted: read("--muted", "#5b6472"),
      line: read("--line", "#dfe3e8"),
      surface: read("--surface", "#ffffff"),
      accent: read("--accent", "#1a5fb4"),
    };
  }

  /** Call `draw` now and whenever the page turns dark or light. */
  function inColours(draw) {
    redraws.add(draw);
    return draw();
  }

  const repaint = () => redraws.forEach((draw) => draw());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
  new MutationObserver(repaint).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme", "class"] });

  /** Call `draw` once, when the element is about to be seen. */
  function whenSeen(element, draw) {
    const watcher = new IntersectionObserver((entries) => {
      if (entries.some((entry) => entry.isIntersecting)) {
        watcher.disconnect();
        draw();
      }
    }, { rootMargin: "400px" });
    watcher.observe(element);
  }

  /** A file of the site as JSON; says in the element why it can't be had. */
  async function load(element) {
    try {
      const answer = await fetch(element.dataset.source, { headers: { accept: "application/json" } });
      if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
      return await answer.json();
    } catch (error) {
      element.classList.add("failed");
      element.textContent = `This figure can't be drawn: ${error.message}. Load the page again.`;
      return null;
    }
  }

  const CONFIG = { displaylogo: false, responsive: true, showSendToCloud: false, modeBarButtonsToRemove: ["lasso2d", "select2d"] };

  /** A layout in the page's colours. */
  function painted(layout) {
    const page = colours();
    const own = structuredClone(layout);
    Object.assign(own, { paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)" });
    own.font = { ...own.font, color: page.text };
    own.modebar = { bgcolor: "rgba(0,0,0,0)", color: page.muted, activecolor: page.text };
    own.legend = { ...own.legend, bgcolor: "rgba(0,0,0,0)" };
    own.hoverlabel = { ...own.hoverlabel, bgcolor: page.surface, bordercolor: page.line, font: { ...own.hoverlabel?.font, color: page.text } };
    for (const [name, axis] of Object.entries(own)) {
      if (/^[xy]axis\d*$/.test(name)) {
        Object.assign(axis, { gridcolor: page.line, zerolinecolor: page.muted, linecolor: page.muted });
      }
    }
    return own;
  }

  /** A trace whose black is the page's ink. */
  function inked(trace) {
    const ink = colours().text;
    const own = { ...trace };
    for (const part of ["line", "marker", "error_x", "error_y", "textfont"]) {
      if (own[part] && INKS.has(own[part].color)) own[part] = { ...own[part], color: ink };
    }
    return own;
  }

  async function figure(element) {
    const data = await load(element);
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
    inColours(() => Plotly.react(element, data.data.map(inked), painted(layout), CONFIG));
  }

  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll(".plot[data-source]").forEach((element) => whenSeen(element, () => figure(element)));
  });

  return { colours, inColours, whenSeen, load, painted, CONFIG };
})();

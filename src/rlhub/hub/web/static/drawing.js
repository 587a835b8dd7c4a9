// What all figures of the site share: the colours of the page, how figures behave, and reading what they draw.
"use strict";

window.Drawing = (() => {
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

  const CONFIG = {
    displaylogo: false,
    responsive: true,
    // What is measured here stays here, unless a person sends it themselves.
    showSendToCloud: false,
    modeBarButtonsToRemove: ["lasso2d", "select2d"],
  };

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

  return { colours, inColours, whenSeen, load, painted, CONFIG };
})();

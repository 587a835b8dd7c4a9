// Curves of several runs in one figure.
(() => {
  const form = document.getElementById("compare");
  const place = document.getElementById("comparison");
  if (!form) return;

  async function load() {
    const asked = new URLSearchParams(new FormData(form));
    if (!asked.has("grouped")) asked.set("grouped", "false");
    const answer = await fetch(`/api/compare?${asked}`);
    const told = await answer.json();
    if (!answer.ok) {
      place.textContent = told.error || "The curves can’t be read.";
      return;
    }
    const traces = [];
    told.curves.forEach((line, index) => {
      const colour = Charts.PALETTE[index % Charts.PALETTE.length];
      const label = line.seeds > 1 ? `${line.label} (${line.seeds} seeds)` : line.label;
      if (line.low && line.seeds > 1) {
        traces.push({
          x: [...line.steps, ...[...line.steps].reverse()], y: [...line.high, ...[...line.low].reverse()],
          fill: "toself", fillcolor: Charts.faint(colour, 0.18), line: { width: 0 }, mode: "lines", hoverinfo: "skip",
          showlegend: false, legendgroup: label,
        });
      }
      traces.push({ x: line.steps, y: line.values, mode: "lines", type: "scatter", name: label, legendgroup: label, line: { color: colour, width: 1.8 } });
    });
    const legend = { orientation: "h", y: -0.22, yanchor: "top", x: 0 };
    Charts.draw(place, traces, "", { showlegend: true, legend, xaxis: { title: { text: "step" } }, yaxis: { title: { text: told.metric } } });
    place.setAttribute("role", "group");
    place.setAttribute("aria-label", `${told.metric} against steps: ${told.curves.map((line) => line.label).join("; ")}`);
  }

  let waiting;
  form.addEventListener("input", (event) => {
    if (event.target.name === "smoothing") event.target.nextElementSibling.value = event.target.value;
    clearTimeout(waiting);
    waiting = setTimeout(load, 120);
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  load();
})();

// How the site's figures look, in both themes; curves are drawn here from what the server thinned.
const charts = (() => {
  const PALETTE = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6d31", "#6a3d9a", "#777777"];
  const drawn = new Set();

  function colours() {
    const style = getComputedStyle(document.documentElement);
    return Object.fromEntries(["text", "muted", "line", "surface"].map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  }

  function layout(title, more = {}) {
    const { text, muted, line } = colours();
    const axis = { gridcolor: line, zerolinecolor: line, linecolor: muted, ticks: "outside", tickcolor: line, automargin: true };
    return {
      title: title ? { text: title, x: 0, xanchor: "left", xref: "paper", font: { size: 14 } } : undefined,
      font: { family: "Inter, system-ui, sans-serif", size: 12, color: text },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      margin: { l: 48, r: 12, t: title ? 34 : 10, b: 40 },
      showlegend: false,
      hovermode: "x unified",
      uirevision: "same",
      ...more,
      xaxis: { ...axis, ...(more.xaxis || {}) },
      yaxis: { ...axis, ...(more.yaxis || {}) },
    };
  }

  const CONFIG = {
    displaylogo: false,
    responsive: true,
    // What is measured here stays here, unless a person sends it themselves.
    showSendToCloud: false,
    modeBarButtonsToRemove: ["lasso2d", "select2d"],
  };

  function draw(place, traces, title, more) {
    drawn.add(place);
    place.figure = { title, more };
    return Plotly.react(place, traces, layout(title, more), CONFIG);
  }

  function faint(colour, opacity) {
    const [red, green, blue] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
    return `rgba(${red},${green},${blue},${opacity})`;
  }

  document.addEventListener("rlhub:theme", () => {
    for (const place of drawn) {
      if (place.isConnected) Plotly.react(place, place.data, layout(place.figure.title, place.figure.more), CONFIG);
      else drawn.delete(place);
    }
  });

  return { PALETTE, draw, faint };
})();

// Curves of runs, drawn from what the server thinned.
"use strict";

window.Charts = (() => {
  const PALETTE = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6d31", "#6a3d9a", "#777777"];
  const drawn = new Map();

  /** The layout of a curve: against steps, with its title inside the figure. */
  function layout(title, more) {
    const axis = { ticks: "outside", automargin: true };
    return Drawing.painted({
      title: title ? { text: title, x: 0, xanchor: "left", xref: "paper", font: { size: 14 } } : undefined,
      font: { family: "Inter, system-ui, sans-serif", size: 12 },
      margin: { l: 48, r: 12, t: title ? 34 : 10, b: 40 },
      showlegend: false,
      hovermode: "x unified",
      uirevision: "same",
      ...more,
      xaxis: { ...axis, ...more.xaxis },
      yaxis: { ...axis, ...more.yaxis },
    });
  }

  /** Draw, or draw anew what has changed. */
  function draw(place, traces, title, more = {}) {
    drawn.set(place, { traces, title, more });
    return Plotly.react(place, traces, layout(title, more), Drawing.CONFIG);
  }

  let begun = false;
  Drawing.inColours(() => {
    if (begun) for (const [place, { traces, title, more }] of drawn) if (place.isConnected) draw(place, traces, title, more);
    begun = true;
  });

  /** A #rrggbb colour with an opacity. */
  function faint(colour, opacity) {
    const [red, green, blue] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
    return `rgba(${red},${green},${blue},${opacity})`;
  }

  return { PALETTE, draw, faint };
})();

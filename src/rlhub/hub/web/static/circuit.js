// A circuit before and after training: <div class="circuit" data-source="/api/questions/NAME/circuits/KEY"></div>.
// A slider prunes it, a switch shows the base's circuit, the trained model's, or what differs; beside it stands how faithful circuits of
// that size were when they were run. Its data are what rlhub.lens.figures.circuit_view gives. Needs Plotly and drawing.js.
"use strict";

(() => {
  const SIDES = [["before", "before"], ["after", "after"], ["difference", "difference"]];
  const DASHES = { q: "solid", k: "dash", v: "dot", "": "solid" };
  const READS = { q: "query", k: "key", v: "value", "": "" };
  const WIDTHS = 6;
  const POINTS = 20;
  const FIRST = 40;
  let circuits = 0;

  const dark = () => {
    const [red, green, blue] = (Drawing.colours().text.match(/[0-9a-f]{2}/gi) || ["0", "0", "0"]).map((part) => parseInt(part, 16));
    return red + green + blue > 384;
  };
  const palette = () => dark()
    ? { raises: "#6fb1e8", lowers: "#f08a80", both: "#8b929d", gained: "#5ab4f0", lost: "#f2994a" }
    : { raises: "#2166ac", lowers: "#b2182b", both: "#8a8a8a", gained: "#0072b2", lost: "#d55e00" };
  const short = (value) => (value === null || value === undefined ? "–" : Number(value).toPrecision(3));
  const many = (count) => `${count.toLocaleString("en")} edge${count === 1 ? "" : "s"}`;

  /** An element with attributes and children. */
  function make(name, attributes = {}, ...children) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  }

  /** The largest size that pruning can leave and that is not above `limit`. */
  const within = (sizes, limit) => sizes.reduce((best, size) => (size <= limit ? size : best), 0);

  /** How faithful circuits of about so many edges were: the number where that size was run, else those of the sizes around it. */
  function faithful(measured, edges) {
    const tell = (one) => `${one.value.toFixed(2)} [${one.interval.map((end) => end.toFixed(2)).join(", ")}]`;
    const exact = measured.find((one) => one.edges === edges);
    if (exact) return `faithfulness ${tell(exact)}, measured at this size`;
    const below = measured.filter((one) => one.edges < edges).pop();
    const above = measured.find((one) => one.edges > edges);
    if (!below && !above) return "faithfulness was not measured";
    if (!below) return `faithfulness not measured below ${many(above.edges)}, where it is ${tell(above)}`;
    if (!above) return `faithfulness ${tell(below)} at ${many(below.edges)}`;
    return `faithfulness between ${tell(below)} at ${below.edges} and ${tell(above)} at ${many(above.edges)}`;
  }

  /** What is drawn of each edge, or null: its group, strength and words. */
  function seen(edge, data, side, sizes) {
    const kept = { before: edge.before && edge.before.size <= sizes.before, after: edge.after && edge.after.size <= sizes.after };
    if (side !== "difference") {
      if (!kept[side]) return null;
      const score = edge[side].score;
      return { group: score >= 0 ? "raises" : "lowers", strength: Math.abs(score), dash: DASHES[edge.reads] };
    }
    if (!kept.before && !kept.after) return null;
    const group = kept.before && kept.after ? "both" : kept.after ? "gained" : "lost";
    const strength = Math.max(...["before", "after"].filter((one) => kept[one]).map((one) => Math.abs(edge[one].score)));
    return { group, strength, dash: group === "lost" ? "dash" : "solid" };
  }

  const NAMES = { raises: "raises the metric", lowers: "lowers the metric", both: "in both", gained: "gained", lost: "lost" };

  function words(edge, data, group) {
    const [low, high] = [data.nodes[edge.from].name, data.nodes[edge.to].name];
    const through = READS[edge.reads] ? ` (${READS[edge.reads]})` : "";
    const worth = ["before", "after"].map((side) => `${side} ${edge[side] ? short(edge[side].score) : "not in it"}`).join(", ");
    return `${low} → ${high}${through}<br>${NAMES[group]}; ${worth}, ${data.unit}`;
  }

  /** A quadratic curve through the edge's control point. */
  function curve(edge, data) {
    const [from, to] = [data.nodes[edge.from], data.nodes[edge.to]];
    const [x, y] = [[], []];
    for (let step = 0; step < POINTS; step += 1) {
      const t = step / (POINTS - 1);
      const [a, b, c] = [(1 - t) ** 2, 2 * t * (1 - t), t ** 2];
      x.push(a * from.x + b * edge.bend[0] + c * to.x);
      y.push(a * from.y + b * edge.bend[1] + c * to.y);
    }
    return [x, y];
  }

  /** How far the curves of all edges reach across, so that pruning and switching never move the drawing. */
  function reach(data) {
    const across = [0, 1, ...data.edges.flatMap((edge) => curve(edge, data)[0])];
    return [Math.min(...across) - 0.05, Math.max(...across) + 0.05];
  }

  /** Few traces however many edges: those of one group, dash and width share one, with gaps between them. */
  function traces(data, side, sizes) {
    const drawn = data.edges.map((edge) => [edge, seen(edge, data, side, sizes)]).filter(([, look]) => look !== null);
    const largest = Math.max(...drawn.map(([, look]) => look.strength), 1e-12);
    const paint = palette();
    const bins = new Map();
    const ends = new Set();
    for (const [edge, look] of drawn) {
      const level = Math.max(1, Math.ceil(WIDTHS * Math.sqrt(look.strength / largest)));
      const key = `${look.group} ${look.dash} ${level}`;
      if (!bins.has(key)) bins.set(key, { ...look, level, x: [], y: [], text: [] });
      const bin = bins.get(key);
      const [x, y] = curve(edge, data);
      bin.x.push(...x, null);
      bin.y.push(...y, null);
      bin.text.push(...x.map(() => words(edge, data, look.group)), "");
      ends.add(edge.from).add(edge.to);
    }
    const lines = [...bins.values()].sort((one, other) => one.level - other.level).map((bin) => ({
      type: "scatter", mode: "lines", x: bin.x, y: bin.y, text: bin.text, hovertemplate: "%{text}<extra></extra>", showlegend: false,
      line: { color: paint[bin.group], width: 0.6 + 1.05 * bin.level, dash: bin.dash }, opacity: 0.4 + 0.5 * bin.level / WIDTHS,
    }));
    const groups = side === "difference" ? ["both", "gained", "lost"] : ["raises", "lowers"];
    const key = (name, color, dash) => ({ type: "scatter", mode: "lines", x: [null], y: [null], name, line: { color, width: 3, dash }, hoverinfo: "skip" });
    const legend = groups.map((group) => key(NAMES[group], paint[group], group === "lost" ? "dash" : "solid"));
    if (side !== "difference") {
      for (const letter of ["q", "k", "v"]) legend.push(key(`into a ${READS[letter]}`, Drawing.colours().muted, DASHES[letter]));
    }
    const feeds = data.feeds.filter((pair) => pair.every((node) => ends.has(node)));
    const shared = {
      type: "scatter", mode: "lines", hoverinfo: "skip", showlegend: false, line: { color: Drawing.colours().line, width: 1.5 },
      x: feeds.flatMap(([low, high]) => [data.nodes[low].x, data.nodes[high].x, null]),
      y: feeds.flatMap(([low, high]) => [data.nodes[low].y, data.nodes[high].y, null]),
    };
    return { traces: [shared, ...lines, ...legend], ends, drawn };
  }

  function labels(data, ends) {
    const page = Drawing.colours();
    return [...ends].map((place) => data.nodes[place]).map((node) => ({
      x: node.x, y: node.y, text: node.kind === "input" || node.kind === "logits" ? `<b>${node.name}</b>` : node.name, showarrow: false,
      font: { size: 11, color: node.kind === "key/value head" ? page.muted : page.text },
      bgcolor: page.surface, bordercolor: node.kind === "mlp" ? page.muted : page.line, borderwidth: 1, borderpad: 2,
    }));
  }

  function drawGraph(place, data, side, sizes) {
    const found = traces(data, side, sizes);
    const layout = Drawing.painted({
      height: Math.min(1150, 130 + 24 * data.rows), margin: { l: 8, r: 8, t: 8, b: 8 }, hovermode: "closest", dragmode: "pan",
      xaxis: { visible: false, range: data.reach }, yaxis: { visible: false, range: [-0.8, data.rows - 0.2] },
      legend: { orientation: "h", x: 0, y: 1, xanchor: "left", yanchor: "bottom" }, annotations: labels(data, found.ends),
      font: { family: getComputedStyle(place).fontFamily, size: 13 }, uirevision: "kept",
    });
    Plotly.react(place, found.traces, layout, { ...Drawing.CONFIG, scrollZoom: false });
    return found.drawn;
  }

  function drawCurve(place, data, side, sizes) {
    const page = Drawing.colours();
    const shown = side === "before" ? ["before"] : side === "after" ? ["after"] : ["before", "after", "carried"];
    const paint = { before: page.muted, after: page.accent, carried: palette().lost };
    const names = { before: "before: its own", after: "after: its own", carried: "the circuit of before, run after" };
    const lines = shown.flatMap((one) => {
      const measured = data.faithfulness[one];
      const x = measured.map((each) => each.edges);
      return [
        { type: "scatter", x: [...x, ...[...x].reverse()], y: [...measured.map((each) => each.interval[1]), ...measured.map((each) => each.interval[0]).reverse()],
          fill: "toself", mode: "lines", line: { width: 0, color: paint[one] }, opacity: 0.25, hoverinfo: "skip", showlegend: false },
        { type: "scatter", x, y: measured.map((each) => each.value), name: names[one], mode: "lines+markers", line: { color: paint[one], width: 2 },
          marker: { size: 6 }, hovertemplate: "%{x:,} edges: %{y:.3f}<extra></extra>" },
      ];
    });
    const here = side === "before" ? sizes.before : sizes.after;
    const layout = Drawing.painted({
      height: 230, margin: { l: 52, r: 12, t: 8, b: 46 }, font: { family: getComputedStyle(place).fontFamily, size: 12 },
      xaxis: { type: "log", title: { text: `edges in the circuit (of ${data.total.toLocaleString("en")})` }, dtick: 1, tickformat: "," },
      yaxis: { title: { text: "faithfulness" }, rangemode: "tozero" }, showlegend: shown.length > 1,
      legend: { x: 1, y: 0.02, xanchor: "right", yanchor: "bottom" },
      shapes: here ? [{ type: "line", x0: here, x1: here, yref: "paper", y0: 0, y1: 1, line: { color: page.text, width: 1.5, dash: "dot" } }] : [],
    });
    Plotly.react(place, lines, layout, { ...Drawing.CONFIG, displayModeBar: false });
  }

  /** The edges that are drawn as a table, strongest first, for those who can't see the drawing. */
  function fill(table, data, drawn) {
    const body = make("tbody");
    for (const [edge, look] of [...drawn].sort((one, other) => other[1].strength - one[1].strength)) {
      const cells = [data.nodes[edge.to].name, READS[edge.reads] || "–", short(edge.before?.score), short(edge.after?.score), NAMES[look.group]];
      body.append(make("tr", {}, make("th", { scope: "row" }, data.nodes[edge.from].name), ...cells.map((cell) => make("td", {}, cell))));
    }
    const head = ["from", "to", "read as", "before", "after", ""].map((name) => make("th", { scope: "col" }, name));
    table.replaceChildren(make("thead", {}, make("tr", {}, ...head)), body);
  }

  async function circuit(element) {
    const data = await Drawing.load(element);
    if (data === null) return;
    const id = `circuit-${(circuits += 1)}`;
    const stops = [...new Set([...data.sizes.before, ...data.sizes.after])].sort((one, other) => one - other);
    if (!stops.length) {
      element.textContent = "Neither circuit has an edge on a path from the input to the logits.";
      return;
    }
    data.reach = reach(data);
    // The first one to be seen is one whose faithfulness was measured, where a circuit that can be read was.
    const measured = data.faithfulness.before.map((one) => one.edges).find((edges) => edges >= FIRST / 4 && edges <= 3 * FIRST);
    const first = Math.max(0, stops.filter((size) => size <= (measured || FIRST)).length - 1);
    const slider = make("input", { type: "range", id: `${id}-edges`, min: 0, max: stops.length - 1, step: 1, value: first });
    const count = make("output", { for: slider.id });
    const choices = SIDES.map(([side, name]) => {
      const radio = make("input", { type: "radio", name: `${id}-side`, value: side, id: `${id}-${side}` });
      radio.checked = side === "difference";
      return make("span", { class: "choice" }, radio, make("label", { for: radio.id }, name));
    });
    const told = make("p", { class: "faithful", "aria-live": "polite" });
    const [graph, chart, table] = [make("div", { class: "drawing" }), make("div", { class: "faithfulness" }), make("table")];
    const rows = make("details", {}, make("summary", {}, "The edges as a table"), make("div", { class: "scroll" }, table));
    element.replaceChildren(
      make("div", { class: "controls" },
        make("fieldset", {}, make("legend", {}, "Circuit"), ...choices),
        make("div", { class: "prune" }, make("label", { for: slider.id }, "Edges kept, at most"), slider, count)),
      told, make("div", { class: "scroll" }, graph), make("h4", {}, "Faithfulness by size"), chart, rows);

    function draw() {
      const side = element.querySelector("input[type=radio]:checked").value;
      const limit = stops[Number(slider.value)];
      const sizes = { before: within(data.sizes.before, limit), after: within(data.sizes.after, limit) };
      count.textContent = String(limit);
      slider.setAttribute("aria-valuetext", many(limit));
      const sides = side === "difference" ? ["before", "after"] : [side];
      told.textContent = sides.map((one) => `${one[0].toUpperCase()}${one.slice(1)} (${data.names[one]}): ${many(sizes[one])}, ${faithful(data.faithfulness[one], sizes[one])}.`).join(" ");
      const drawn = drawGraph(graph, data, side, sizes);
      drawCurve(chart, data, side, sizes);
      if (rows.open) fill(table, data, drawn);
    }

    let waiting = false;
    const soon = () => {
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => { waiting = false; draw(); });
    };
    slider.addEventListener("input", soon);
    element.addEventListener("change", soon);
    rows.addEventListener("toggle", soon);
    Drawing.inColours(draw);
  }

  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll(".circuit[data-source]").forEach((element) => Drawing.whenSeen(element, () => circuit(element)));
  });
})();

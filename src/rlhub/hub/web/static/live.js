// A run's curves, drawn from the thinned ones that the server has, and grown by the events that it sends.
(() => {
  const place = document.getElementById("curves");
  if (!place) return;
  const key = place.dataset.run.split("/").map(encodeURIComponent).join("/");
  const smoothing = document.getElementById("smoothing");
  const MOST = 6000;
  let source = null;
  let curves = new Map();

  function short(count) {
    for (const [size, unit] of [[1e9, "G"], [1e6, "M"]]) if (count >= size) return `${+(count / size).toPrecision(3)}${unit}`;
    return count >= 1e4 ? `${+(count / 1e3).toPrecision(3)}k` : count.toLocaleString("en");
  }

  function frame(name) {
    const figure = document.createElement("figure");
    const chart = document.createElement("div");
    chart.className = "curve";
    chart.dataset.metric = name;
    chart.setAttribute("role", "group");
    chart.setAttribute("aria-label", `${name} against steps`);
    figure.append(chart);
    place.append(figure);
    return chart;
  }

  function redraw(name) {
    const { chart, seeds } = curves.get(name);
    const traces = seeds.map((seed, index) => ({
      x: seed.steps, y: seed.values, mode: seed.steps.length < 3 ? "lines+markers" : "lines", type: "scatter",
      name: seeds.length > 1 ? `seed ${index}` : name,
      line: { width: 1.6, color: Charts.PALETTE[index % Charts.PALETTE.length] },
    }));
    Charts.draw(chart, traces, name, { xaxis: { title: { text: "step" } }, hovermode: seeds.length > 8 ? "closest" : "x unified" });
  }

  async function load() {
    source?.close();
    const answer = await fetch(`/api/curves/${key}?smoothing=${smoothing.value}`);
    if (!answer.ok) {
      place.textContent = (await answer.json()).error || "The curves can’t be read.";
      return;
    }
    const told = await answer.json();
    const there = new Set(told.metrics.map((metric) => metric.name));
    if (!there.size) place.innerHTML = '<p class="muted">No metric has been logged yet.</p>';
    else if (!curves.size) place.textContent = "";
    for (const [name, { chart }] of curves) if (!there.has(name)) { chart.parentElement.remove(); curves.delete(name); }
    for (const { name, seeds } of told.metrics) {
      const known = curves.get(name);
      curves.set(name, { chart: known ? known.chart : frame(name), seeds });
      redraw(name);
    }
    if (["running", "new"].includes(place.dataset.status)) listen(told);
  }

  function listen(told) {
    const counts = encodeURIComponent(JSON.stringify(told.counts));
    source = new EventSource(`/api/events/${key}?generation=${told.generation}&counts=${counts}`);
    source.addEventListener("points", (event) => {
      for (const { name, seeds } of JSON.parse(event.data)) {
        if (!curves.size) place.textContent = "";
        if (!curves.has(name)) curves.set(name, { chart: frame(name), seeds: seeds.map(() => ({ steps: [], values: [] })) });
        const held = curves.get(name).seeds;
        seeds.forEach((seed, index) => {
          held[index] ??= { steps: [], values: [] };
          held[index].steps.push(...seed.steps);
          held[index].values.push(...seed.values);
        });
        redraw(name);
      }
      // Too many points to draw again and again, or raw ones beside smoothed ones: the server thins them anew.
      const longest = Math.max(...[...curves.values()].flatMap(({ seeds }) => seeds.map((seed) => seed.steps.length)));
      if (longest > MOST) load();
    });
    source.addEventListener("state", (event) => {
      const state = JSON.parse(event.data);
      const shown = document.querySelector("#state .of");
      if (state.status === place.dataset.status && shown && state.steps) {
        shown.innerHTML = `${short(state.step)} <span class="muted">of ${short(state.steps)}</span>`;
        document.querySelector("#state .bar span").style.width = `${Math.min(100, 100 * state.step / state.steps)}%`;
      } else htmx.ajax("GET", `/state/${key}`, { target: "#state", swap: "outerHTML" });
      place.dataset.status = state.status;
    });
    source.addEventListener("anew", load);
    source.addEventListener("ended", () => source.close());
    source.addEventListener("gone", () => { source.close(); location.href = "/runs"; });
    // The browser would ask again from the same place and draw points twice: the curves are asked for anew instead.
    source.addEventListener("error", () => { source.close(); setTimeout(load, 2000); });
  }

  // A button's answer brings the state with it. Another one that comes before would take the button away, and its answer would go nowhere.
  document.addEventListener("htmx:before:swap", (event) => {
    const asked = event.detail.ctx.request.method.toUpperCase();
    if (asked === "GET" && document.querySelector("#state [hx-post].htmx-request")) event.preventDefault();
  });

  let waiting;
  smoothing.addEventListener("input", () => {
    smoothing.nextElementSibling.value = smoothing.value;
    clearTimeout(waiting);
    waiting = setTimeout(load, 150);
  });
  // After a button that stops or resumes: the curves may have been cut, or go on.
  document.addEventListener("rlhub:changed", () => { place.dataset.status = "running"; load(); });
  load();
})();

// The interactive distributions of a report. Each figure.ecdf holds its curves
// as JSON, and stays hidden where no script runs: the static figures follow it.
"use strict";
for (const figure of document.querySelectorAll("figure.ecdf")) {
  const data = JSON.parse(figure.querySelector("script").textContent);
  const dashes = [[], [8, 3], [2.5, 2.5], [10, 3, 2.5, 3], [14, 4], [6, 3, 2.5, 3, 2.5, 3]];
  const unit = (ns) => (ns < 1e3 ? [1, "ns"] : ns < 1e6 ? [1e3, "µs"] : ns < 1e9 ? [1e6, "ms"] : [1e9, "s"]);
  const sum = (list) => { let total = 0; return list.map((v) => (total += v)); };

  // A table of every latency at which some curve rises, with all curves' values.
  const curves = data.curves.map((c) => ({ label: c.label, n: c.n, x: sum(c.x), k: sum(c.k) }));
  const last = Math.max(...curves.map((c) => c.x[c.x.length - 1]));
  const first = Math.min(...curves.map((c) => c.x[0]));
  const [scale, name] = unit(curves.length ? curves[0].x[curves[0].x.length >> 1] : 1);
  const at = [...new Set(curves.flatMap((c) => c.x))].sort((a, b) => a - b);
  const room = (last - first) / 20 || 1;
  at.unshift(Math.max(first - room, first > 0 ? first / 1.2 : first - room));
  at.push(last + room);
  const table = [at.map((x) => x / scale), ...curves.map((c) => {
    let i = 0, k = 0;
    return at.map((x) => { while (i < c.x.length && c.x[i] <= x) k = c.k[i++]; return k / c.n; });
  })];

  // What the axis shows at first: all within five interquartile ranges of the
  // quartiles and the middle 90%, unless the rest is near. A few calls far off
  // would squash the others.
  const bulk = curves.map((c) => {
    const quantile = (q) => c.x[c.k.findIndex((k) => k >= q * c.n)];
    const [a, b] = [quantile(0.25), quantile(0.75)];
    const reach = 5 * Math.max(b - a, quantile(0.5) / 100);
    return [Math.min(c.x.find((x) => x >= a - reach), quantile(0.05)), Math.max(c.x.findLast((x) => x <= b + reach), quantile(0.95))];
  });
  const low = Math.min(...bulk.map((b) => b[0])), high = Math.max(...bulk.map((b) => b[1]));
  const wide = Math.max(high - low, high / 50);
  const start = [
    high - first > 5 * wide ? low - wide / 4 : Math.max(at[0], first - wide / 20),
    last - low > 5 * wide ? high + wide / 4 : Math.min(at[at.length - 1], last + wide / 20),
  ].map((x) => x / scale);

  const make = (tag, properties, ...children) => {
    const e = Object.assign(document.createElement(tag), properties);
    e.append(...children);
    return e;
  };
  const chart = make("div", { className: "chart", tabIndex: 0 });
  chart.setAttribute("role", "application");
  chart.setAttribute("aria-label", "Distribution of latency on " + figure.dataset.name + "; arrow keys read values");
  const readout = make("output", { className: "readout" });
  const beyond = make("p", { className: "soft" });
  const log = make("input", { type: "checkbox", name: "log", disabled: first <= 0, checked: first > 0 && last > 10 * first });
  const reset = make("button", { type: "button", textContent: "Whole range" });
  const levels = make("fieldset", {}, make("legend", { textContent: "Show" }));
  const color = (i) => getComputedStyle(document.documentElement).getPropertyValue("--s" + (i % 7)).trim();
  const shown = curves.map((c, i) => {
    const box = make("input", { type: "checkbox", checked: true, name: c.label });
    const swatch = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    swatch.setAttribute("class", "swatch");
    const line = document.createElementNS("http://www.w3.org/2000/svg", "path"); // as the chart draws it
    for (const [key, value] of Object.entries({ d: "M0 4H34", "stroke-width": 2.5, "stroke-dasharray": dashes[i % dashes.length].join(" ") || "none" })) line.setAttribute(key, value);
    line.style.stroke = "var(--s" + (i % 7) + ")";
    swatch.append(line);
    box.addEventListener("change", () => plot.setSeries(i + 1, { show: box.checked }));
    levels.append(make("label", {}, box, swatch, c.label));
    return box;
  });
  const controls = make("div", { className: "controls" }, levels, make("label", {}, log, "Logarithmic axis"), reset);

  const value = (v) => v.toPrecision(4);
  const read = (u) => {
    const i = u.cursor.idx;
    if (i == null) { readout.textContent = " "; return; }
    readout.textContent = "within " + value(u.data[0][i]) + " " + name + ": " +
      curves.map((c, j) => (shown[j].checked ? c.label + " " + (100 * u.data[j + 1][i]).toFixed(1) + "%" : "")).filter(Boolean).join(" · ");
  };
  // Says what the axis leaves out.
  const tell = (u) => {
    const { min, max } = u.scales.x;
    let out = 0, all = 0;
    curves.forEach((c, i) => {
      if (!shown[i].checked) return;
      const upTo = (x) => c.k[c.x.findLastIndex((v) => v / scale <= x)] ?? 0;
      out += c.n - upTo(max) + (c.k[c.x.findLastIndex((v) => v / scale < min)] ?? 0);
      all += c.n;
    });
    beyond.textContent = out ? `${out} of ${all} calls lie beyond the axis.` : "\u00a0";
  };
  let plot;
  const draw = () => {
    const ink = getComputedStyle(document.documentElement).getPropertyValue("--ink").trim();
    const line = getComputedStyle(document.documentElement).getPropertyValue("--line").trim();
    const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line }, font: "13px system-ui, sans-serif", labelFont: "14px system-ui, sans-serif" };
    if (plot) plot.destroy();
    plot = new uPlot({
      width: Math.max(chart.clientWidth, 240), height: Math.round(Math.min(Math.max(chart.clientWidth * 0.6, 280), 460)),
      legend: { show: false },
      cursor: { points: { size: 7 }, drag: { x: true, y: false } },
      scales: { x: { time: false, distr: log.checked ? 3 : 1 }, y: { range: [0, 1] } },
      axes: [{ ...axis, label: "Inference time (" + name + ")" }, { ...axis, label: "Share of calls" }],
      series: [{}, ...curves.map((c, i) => ({
        label: c.label, show: shown[i].checked, stroke: color(i), width: 1.75, dash: dashes[i % dashes.length],
        points: { show: false }, paths: uPlot.paths.stepped({ align: 1 }),
      }))],
      hooks: { setCursor: [read], setSeries: [read, tell], setScale: [(u, key) => { if (key === "x") tell(u); }] },
    }, table, chart);
    read(plot);
    if (!log.checked) plot.setScale("x", { min: start[0], max: start[1] });
  };
  const whole = () => plot.setScale("x", { min: table[0][0], max: table[0][at.length - 1] });
  log.addEventListener("change", draw);
  reset.addEventListener("click", whole);
  chart.addEventListener("keydown", (e) => {
    const by = { ArrowRight: 1, ArrowLeft: -1, PageUp: 25, PageDown: -25 }[e.key];
    if (!by) return;
    e.preventDefault();
    const i = Math.min(Math.max((plot.cursor.idx ?? 0) + by, 0), at.length - 1);
    plot.setCursor({ left: plot.valToPos(table[0][i], "x"), top: plot.bbox.height / devicePixelRatio / 2 });
  });

  if (curves.length) {
    figure.prepend(controls, chart, beyond, readout);
    figure.hidden = false;
    draw();
    new ResizeObserver(() => { if (Math.abs(plot.width - chart.clientWidth) > 1) draw(); }).observe(chart);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  }
}

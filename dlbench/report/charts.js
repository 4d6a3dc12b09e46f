"use strict";
// Charts become plotly's when they come near the window. Until then, without script, on paper, and where
// anything fails, the SVG stands; so do the words and the table of each chart.
(function () {
  const bundle = document.getElementById("plotly");
  if (!bundle) return;
  const root = document.documentElement;
  const all = (selector, from) => Array.from((from || document).querySelectorAll(selector));
  const coarse = matchMedia("(pointer: coarse)").matches;
  const charts = [];
  let shows = [], limits = null;

  // The bundle is text until the first chart needs it, and then runs by its hash, as all script here.
  function load() {
    if (window.Plotly) return;
    const script = document.createElement("script");
    script.textContent = bundle.textContent;
    document.head.append(script);
  }

  const colour = (hue) => getComputedStyle(root).getPropertyValue("--" + (typeof hue === "number" ? "c" + hue : hue)).trim();
  const escaped = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;").replace(/%\{/g, "%&#123;");

  function trace(chart, source, i) {
    const { meta } = source, rows = meta.rows || [];
    const shown = rows.map((row) => shows[row] !== false);
    const ink = colour(meta.colour), inks = meta.hues ? meta.hues.map(colour) : ink;
    const hollow = meta.hollow || [], panel = colour("panel");
    const marker = { ...source.marker, color: inks, line: { color: panel, width: 1 } };
    if (meta.hollow) {
      marker.color = inks.map((c, n) => hollow[n] ? panel : c);
      marker.line = { color: inks.map((c, n) => hollow[n] ? c : panel), width: hollow.map((h) => h ? 2 : 1) };
    }
    if (meta.ways && limits) marker.opacity = meta.ways.map((way) => limits.over.includes(way) ? 0.35 : 1);
    const found = { ...source, marker, line: { ...source.line, color: ink }, textfont: { color: colour("ink") } };
    ["error_x", "error_y"].forEach((name) => { if (source[name]) found[name] = { ...source[name], color: colour("soft") }; });
    found.visible = !chart.off.has(i) && (!rows.length || shown.some(Boolean));
    if (rows.length > 1) { found.y = source.y.map((y, n) => shown[n] ? y : null); found.connectgaps = true; }
    return found;
  }

  const SHADES = { "warm-up": "zone", "energy-window": "good-ground" };
  function lines(chart) {
    if (!limits || !chart.figure.data.some((t) => t.meta.ways)) return [];
    const line = { color: colour("bad"), width: 1.5, dash: "6px,4px" };
    const time = { type: "line", line, x0: limits.time, x1: limits.time, y0: 0, y1: 1, yref: "paper" };
    const cost = { type: "line", line, y0: limits.cost, y1: limits.cost, x0: 0, x1: 1, xref: "paper" };
    return [...(limits.time < Infinity ? [time] : []), ...(limits.cost < Infinity ? [cost] : [])];
  }

  function layout(chart) {
    const source = chart.figure.layout, soft = colour("soft"), ground = colour("panel"), grid = colour("grid");
    const axis = (a) => ({ ...a, gridcolor: grid, linecolor: grid, automargin: true, ticks: "" });
    return {
      ...source, width: chart.box.clientWidth, height: chart.height, margin: { l: 52, r: 14, t: 34, b: 40 },
      paper_bgcolor: ground, plot_bgcolor: ground, font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: soft },
      xaxis: axis(source.xaxis), yaxis: axis(source.yaxis), dragmode: coarse ? false : "zoom", uirevision: "kept",
      hoverlabel: { bgcolor: colour("code"), bordercolor: colour("line"), font: { color: colour("ink"), size: 13 }, align: "left" },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: soft, activecolor: colour("accent") },
      shapes: [...(source.shapes || []).map((s) => ({ ...s, fillcolor: colour(SHADES[s.name]) })), ...lines(chart)],
    };
  }

  function picture(chart) {
    const caption = chart.plot.closest("figure")?.querySelector("figcaption");
    const text = caption ? caption.textContent : "";
    const several = chart.figure.data.length > 1;
    return Plotly.downloadImage({
      data: chart.figure.data.map((source, i) => trace(chart, source, i)),
      layout: {
        ...layout(chart), showlegend: several, legend: { orientation: "h", y: -0.18, yanchor: "top" },
        title: { text: escaped(text), x: 0.02, xanchor: "left", font: { size: 15, color: colour("ink") } },
        margin: { l: 64, r: 24, t: 78, b: 48 },
      },
    }, { format: "png", width: 1000, height: 520 + (several ? 24 * chart.figure.data.length : 0), scale: 2, filename: "dlbench-chart" });
  }

  function config(chart) {
    const save = { name: "png", title: "Save as PNG", icon: Plotly.Icons.camera, click: () => picture(chart) };
    return {
      displaylogo: false, showTips: false, showLink: false, showEditInChartStudio: false, plotlyServerURL: "", responsive: false,
      modeBarButtons: [[save], ["zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]],
    };
  }

  function draw(chart) {
    if (chart.box.clientWidth) Plotly.react(chart.box, chart.figure.data.map((source, i) => trace(chart, source, i)), layout(chart), config(chart));
  }

  // The list of series over a chart gets switches: a series that is switched off leaves the chart alone.
  function switches(chart) {
    const legend = chart.plot.previousElementSibling;
    if (!legend || !legend.matches(".legend")) return;
    all("li", legend).forEach((item, i) => {
      const button = document.createElement("button");
      button.type = "button";
      button.setAttribute("aria-pressed", "true");
      button.append(...item.childNodes);
      item.append(button);
      button.addEventListener("click", () => {
        if (!chart.off.delete(i)) chart.off.add(i);
        button.setAttribute("aria-pressed", String(!chart.off.has(i)));
        draw(chart);
      });
    });
  }

  function upgrade(plot) {
    const box = document.createElement("div");
    try {
      load();
      const height = Math.round(plot.clientHeight);
      const chart = { plot, box, height, off: new Set(), figure: JSON.parse(plot.querySelector(".figure").textContent) };
      box.className = "chart";
      box.setAttribute("role", "group");
      box.setAttribute("aria-label", plot.querySelector(".area").getAttribute("aria-label"));
      plot.append(box);
      plot.classList.add("live");
      draw(chart);
      switches(chart);
      charts.push(chart);
      let width = box.clientWidth;
      new ResizeObserver(() => { if (box.clientWidth && box.clientWidth !== width) { width = box.clientWidth; draw(chart); } }).observe(box);
    } catch {
      plot.classList.remove("live");
      box.remove();
    }
  }

  const again = () => charts.forEach(draw);
  document.addEventListener("dlbench:shown", (event) => { shows = event.detail; again(); });
  document.addEventListener("dlbench:limits", (event) => { limits = event.detail; again(); });
  document.addEventListener("dlbench:theme", again);

  const near = new IntersectionObserver((entries) => entries.forEach((entry) => {
    if (!entry.isIntersecting) return;
    near.unobserve(entry.target);
    upgrade(entry.target);
  }), { rootMargin: "400px" });
  document.addEventListener("dlbench:ready", () => all(".plot").forEach((plot) => near.observe(plot)));
})();

"use strict";
// Charts become plotly's when they come near the window. Until then, without script, on paper, and where
// anything fails, the SVG stands; so do the words and the table of each chart.
(function () {
  const bundle = document.getElementById("plotly");
  if (!bundle) return;
  const root = document.documentElement;
  const all = (selector, from) => Array.from((from || document).querySelectorAll(selector));
  // In pixels; the page's own text grows with the reader's settings, and so does that in a chart.
  const rem = () => parseFloat(getComputedStyle(root).fontSize);
  const coarse = matchMedia("(pointer: coarse)").matches;
  const charts = new Map();
  let shows = [], limits = null;

  // The bundle is text until the first chart needs it, and then runs by its hash, as all script here.
  function load() {
    if (window.Plotly) return;
    const script = document.createElement("script");
    script.textContent = bundle.textContent;
    document.head.append(script);
  }

  // --- what a figure's numbers of colours and rows become ---
  const colour = (hue) => getComputedStyle(root).getPropertyValue("--" + (typeof hue === "number" ? "c" + hue : hue)).trim();
  const escaped = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;").replace(/%\{/g, "%&#123;");

  function marker(source, panel) {
    const { meta } = source, inks = meta.hues ? meta.hues.map(colour) : colour(meta.colour);
    const found = { ...source.marker, color: inks, line: { color: panel, width: source.type === "bar" ? 0 : 1 } };
    if (meta.hollow) {
      found.color = inks.map((ink, n) => meta.hollow[n] ? panel : ink);
      found.line = { color: inks.map((ink, n) => meta.hollow[n] ? ink : panel), width: meta.hollow.map((hollow) => hollow ? 2 : 1) };
    }
    if (found.pattern) found.pattern = { ...found.pattern, fgcolor: inks, bgcolor: colour("track") };
    if (meta.ways && limits) found.opacity = meta.ways.map((way) => limits.over.includes(way) ? 0.35 : 1);
    return found;
  }

  // ``places``: where the lines of a table are, for a chart whose marks stand in them.
  function trace(chart, source, i, places) {
    const { meta } = source, rows = meta.rows || [];
    const shown = rows.map((row) => shows[row] !== false);
    const found = { ...source, marker: marker(source, colour("panel")), line: { ...source.line, color: colour(meta.colour) }, textfont: { color: colour("ink") } };
    if (source.type === "bar") delete found.line;
    ["error_x", "error_y"].forEach((name) => { if (source[name]) found[name] = { ...source[name], color: colour(meta.whisker || "soft") }; });
    found.visible = !chart.off.has(i) && (!rows.length || shown.some(Boolean));
    if (rows.length > 1) { found.y = source.y.map((y, n) => shown[n] ? y : null); }
    if (places) {
      found.visible = true;
      found.y = source.y.map((line) => places.centres[line] ?? null);
      if (source.type === "bar") found.width = places.thickness;
    }
    return found;
  }
  const traces = (chart, places) => chart.figure.data.map((source, i) => trace(chart, source, i, places));

  const SHADES = { "warm-up": "zone", "energy-window": "good-ground", zone: "zone" };
  function shapes(chart) {
    const found = (chart.figure.layout.shapes || []).map((shape) => shape.name in SHADES
      ? { ...shape, fillcolor: colour(SHADES[shape.name]) } : { ...shape, line: { color: colour("soft"), width: 1 } });
    if (!limits || !chart.figure.data.some((source) => source.meta.ways)) return found;
    const line = { color: colour("bad"), width: 1.5, dash: "6px,4px" }, { time, cost } = limits;
    if (time < Infinity) found.push({ type: "line", line, x0: time, x1: time, y0: 0, y1: 1, yref: "paper" });
    if (cost < Infinity) found.push({ type: "line", line, y0: cost, y1: cost, x0: 0, x1: 1, xref: "paper" });
    return found;
  }

  function layout(chart, more, unit = rem() / 16) {
    const source = chart.figure.layout, soft = colour("soft"), ground = colour("panel"), grid = colour("grid");
    const family = getComputedStyle(document.body).fontFamily;
    const axis = (a) => ({ ...a, title: a.title && { ...a.title, font: { size: 12 * unit } }, gridcolor: grid, linecolor: grid, automargin: true, ticks: "", tickangle: 0 });
    const notes = (source.annotations || []).map((note) => ({ ...note, xshift: note.xshift * unit, yshift: note.yshift * unit }));
    const found = {
      ...source, annotations: notes, margin: { l: 52 * unit, r: 14 * unit, t: 34 * unit, b: 40 * unit }, paper_bgcolor: ground, plot_bgcolor: ground,
      font: { family, size: 12 * unit, color: soft },
      xaxis: axis(source.xaxis), yaxis: axis(source.yaxis || {}), dragmode: coarse ? false : "zoom", uirevision: "kept",
      hoverlabel: { bgcolor: colour("code"), bordercolor: colour("line"), font: { family, color: colour("ink"), size: 13 * unit }, align: "left" },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: soft, activecolor: colour("accent") }, shapes: shapes(chart),
    };
    return { ...found, ...more(found) };
  }

  // --- a chart in a frame of its own, and one whose marks stand in the lines of a table ---
  const EDGE = 14, MOST_LETTERS = 80;

  // As many ticks as have room beside each other, since they are not turned.
  function roomy(axis, width) {
    return axis.nticks ? { ...axis, nticks: Math.max(2, Math.min(axis.nticks, Math.floor(width / (3.5 * rem())))) } : axis;
  }

  function framed(chart) {
    const width = chart.box.clientWidth, height = Math.round(chart.height_rem * rem());
    return width && { data: traces(chart), layout: layout(chart, ({ xaxis }) => ({ width, height, xaxis: roomy(xaxis, width) })) };
  }

  function tabled(chart) {
    const { host, table, box } = chart, at = (element) => element.getBoundingClientRect();
    const head = at(table.tHead.querySelector(".chart-cell")), foot = at(table.tFoot.querySelector(".chart-cell"));
    const lines = Array.from(table.tBodies[0].rows), first = lines.find((line) => line.clientHeight);
    // On a phone the bars stand under their names, each for itself: there they stay SVG.
    host.classList.toggle("live", Boolean(head.width && first));
    if (!head.width || !first) return null;
    const bar = at(first.querySelector(".bar")), frame = at(host);
    const width = Math.round(bar.width) + 2 * EDGE, height = Math.round(foot.bottom - head.top);
    box.style.left = bar.left - EDGE - frame.left - host.clientLeft + host.scrollLeft + "px";
    box.style.top = head.top - frame.top - host.clientTop + "px";
    const centres = lines.map((line) => line.clientHeight ? at(line).top + at(line).height / 2 - head.bottom : null);
    const clear = "rgba(0,0,0,0)";
    return {
      data: traces(chart, { centres, thickness: 0.56 * bar.height }),
      layout: layout(chart, ({ xaxis, yaxis }) => ({
        width, height, margin: { l: EDGE, r: EDGE, t: head.height, b: foot.height }, paper_bgcolor: clear, plot_bgcolor: clear,
        xaxis: { ...roomy(xaxis, width), automargin: false, ticklabeloverflow: "allow", title: { text: "" } },
        yaxis: { ...yaxis, automargin: false, visible: false, fixedrange: true, range: [foot.top - head.bottom, 0] },
      })),
    };
  }

  function draw(chart) {
    chart.stale = false;
    const drawn = chart.table ? tabled(chart) : framed(chart);
    if (drawn) Plotly.react(chart.box, drawn.data, drawn.layout, config(chart));
  }

  // --- plotly's bar: a picture has what the page says beside the chart ---
  function picture(chart) {
    const named = chart.table ? chart.host.querySelector("h3, caption") || chart.table : chart.host.closest("figure")?.querySelector("figcaption");
    const heading = chart.table ? chart.host.closest("section").querySelector("h2").textContent + (named.matches("h3") ? ": " + named.textContent : "") : named ? named.textContent : "";
    const title = { text: escaped(heading), x: 0.02, xanchor: "left", font: { size: 15, color: colour("ink") } };
    const several = chart.figure.data.length > 1;
    const lines = chart.table ? Array.from(chart.table.tBodies[0].rows).filter((line) => !line.hasAttribute("hidden")) : [];
    const extra = chart.table ? 28 * lines.length : 400 + (several ? 24 * chart.figure.data.length : 0);
    const places = chart.table && { centres: Array.from(chart.table.tBodies[0].rows, (line) => lines.includes(line) ? lines.indexOf(line) : null), thickness: 0.6 };
    const words = (line) => {
      const cells = Array.from(line.cells), before = cells.slice(0, cells.findIndex((cell) => cell.matches(".chart-cell")));
      const text = before.map((cell) => cell.innerText.replace(/\s+/g, " ").trim()).join(", ");
      return escaped(text.length > MOST_LETTERS ? text.slice(0, MOST_LETTERS - 1) + "…" : text);
    };
    return Plotly.downloadImage({
      data: traces(chart, places || undefined),
      layout: layout(chart, ({ yaxis }) => ({
        title, margin: { l: 64, r: 24, t: 78, b: 52 }, showlegend: several, legend: chart.table ? { orientation: "h", x: 1, xanchor: "right", y: 1, yanchor: "bottom" } : { orientation: "h", x: 0, y: -0.2, yanchor: "top" },
        yaxis: chart.table ? { ...yaxis, range: [lines.length - 0.4, -0.6], tickvals: lines.map((_, n) => n), ticktext: lines.map(words), showgrid: false, zeroline: false } : yaxis,
      }), 1),
    }, { format: "png", width: 1000, height: 140 + extra, scale: 2, filename: "dlbench-chart" });
  }

  function config(chart) {
    const save = { name: "png", title: "Save as PNG", icon: Plotly.Icons.camera, click: () => picture(chart) };
    return {
      displaylogo: false, showTips: false, showLink: false, showEditInChartStudio: false, plotlyServerURL: "", responsive: false,
      modeBarButtons: [[save], chart.table ? ["resetScale2d"] : ["zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]],
    };
  }

  // The list of series over a chart gets switches: a series that is switched off leaves the chart alone.
  function switches(chart) {
    const legend = chart.host.previousElementSibling;
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

  // --- from SVG to plotly, in view; what is out of view is drawn again once it is back ---
  function begin(host) {
    const box = document.createElement("div"), table = host.matches(".plot") ? null : host.querySelector("table");
    const chart = { host, box, table, near: true, stale: true, off: new Set(), height_rem: host.clientHeight / rem() };
    const area = host.querySelector(".area"), caption = host.querySelector("caption");
    charts.set(host, chart);
    box.className = "chart";
    box.setAttribute("role", "group");
    box.setAttribute("aria-label", area ? area.getAttribute("aria-label") : "Chart of the table" + (caption ? ": " + caption.textContent : ""));
    try {
      chart.figure = JSON.parse(all(".figure", host)[0].textContent);
      load();
      host.append(box);
      host.classList.add("live");
      draw(chart);
      switches(chart);
      new ResizeObserver(() => again(chart)).observe(table || box);
    } catch {
      host.classList.remove("live");
      box.remove();
      near.unobserve(host);
      charts.delete(host);
    }
  }

  // Over a table that has become narrower, a chart out of view would widen the page: there SVG stands until it is back.
  function again(chart) {
    chart.stale = true;
    if (chart.near) draw(chart);
    else if (chart.table) chart.host.classList.remove("live");
  }
  const everything = () => charts.forEach(again);
  document.addEventListener("dlbench:shown", (event) => { shows = event.detail; everything(); });
  document.addEventListener("dlbench:limits", (event) => { limits = event.detail; everything(); });
  document.addEventListener("dlbench:theme", everything);

  const near = new IntersectionObserver((entries) => entries.forEach(({ target, isIntersecting }) => {
    const chart = charts.get(target);
    if (!chart) return isIntersecting && begin(target);
    chart.near = isIntersecting;
    if (isIntersecting && chart.stale) draw(chart);
  }), { rootMargin: "400px" });
  document.addEventListener("dlbench:ready", () => all("script.figure").forEach((figure) => near.observe(figure.parentElement)));
})();

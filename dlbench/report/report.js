"use strict";
(function () {
  const root = document.documentElement;
  const style = (name) => getComputedStyle(root).getPropertyValue(name).trim();

  function draw(name) {
    const place = document.getElementById("chart-" + name);
    const data = document.getElementById("data-" + name);
    if (!place || !data || !window.Plotly) return;
    const figure = JSON.parse(data.textContent);
    const layout = figure.layout;
    const axis = { gridcolor: style("--line"), linecolor: style("--line"), zerolinecolor: style("--soft") };
    Object.keys(layout).filter((key) => /^[xy]axis/.test(key)).forEach((key) => Object.assign(layout[key], axis));
    Object.assign(layout, {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", width: place.clientWidth,
      font: { color: style("--ink"), size: 13, family: getComputedStyle(document.body).fontFamily },
    });
    figure.data.forEach((trace) => { if (trace.error_x) trace.error_x.color = style("--ink"); });
    // Long labels would leave no room for bars on a phone, so there they break before the numbers.
    if (place.clientWidth < 560) figure.data.forEach((trace) => {
      trace.y = trace.y.map((label) => label.replace(/ (fp32|tf32|bf16|fp16|int8) /, "<br>$1 "));
    });
    window.Plotly.react(place, figure.data, layout, { displaylogo: false, displayModeBar: false });
  }

  function drawAll() {
    document.querySelectorAll('script[type="application/json"]').forEach((data) => draw(data.id.replace("data-", "")));
  }

  const button = document.getElementById("theme");
  button.hidden = false;
  button.addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    drawAll();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  addEventListener("resize", drawAll);
  drawAll();
})();

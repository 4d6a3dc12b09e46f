(function () {
  const root = document.documentElement;
  const all = (selector, from) => Array.from((from || document).querySelectorAll(selector));
  const byId = (id) => document.getElementById(id);
  const data = (id) => { const e = byId("data-" + id); return e && JSON.parse(e.textContent); };
  const tell = (what, detail) => document.dispatchEvent(new CustomEvent("dlbench:" + what, { detail }));
  all("[data-script]").forEach((element) => { element.hidden = false; });

  // --- light and dark ---
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => root.dataset.theme ? root.dataset.theme === "dark" : prefersDark.matches;
  function sayTheme() { byId("theme-word").textContent = isDark() ? "Light" : "Dark"; tell("theme"); }
  byId("theme").addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; sayTheme(); });
  prefersDark.addEventListener("change", sayTheme);
  sayTheme();

  // --- the view: what is filtered, chosen and set; kept in the address ---
  const index = data("filters") || { facets: [], rows: [] };
  const form = byId("filters");
  const marked = all("[data-r]").map((element) => ({ element, rows: element.dataset.r.split(" ").filter(Boolean).map(Number) }));
  const lines = all("[data-any]").map((element) => ({ element, rows: element.dataset.any.split(" ").map(Number) }));
  const panels = all("[data-panel]").map((element) => ({ element, marks: all("[data-r]", element) }));
  const sliders = all("input[type=range][data-limit]");
  const trial = byId("trial");
  const by = byId("rank-by");
  const figures = all("[data-trial]");

  function chosen() {
    return index.facets.map((facet) => new Set(
      all('input[name="' + facet.name + '"]:checked', form).map((box) => Number(box.value))));
  }

  function filter() {
    const sets = form ? chosen() : [];
    const shows = index.rows.map((row) => sets.every((set, i) => set.has(row[i])));
    marked.forEach(({ element, rows }) => {
      if ("trial" in element.dataset) return;
      element.toggleAttribute("hidden", rows.length > 0 && !rows.every((n) => shows[n]));
    });
    lines.forEach(({ element, rows }) => element.toggleAttribute("hidden", !rows.some((n) => shows[n])));
    panels.forEach(({ element, marks }) => { element.hidden = marks.length > 0 && marks.every((m) => m.hasAttribute("hidden")); });
    const n = shows.filter(Boolean).length;
    if (byId("shown")) byId("shown").textContent = n === shows.length ? "all " + n + " cases are shown" : n + " of " + shows.length + " cases are shown";
    chooseTrial(shows);
    tell("shown", shows);
  }

  function chooseTrial(shows) {
    if (!trial) return;
    const allowed = figures.map((figure) => shows[Number(figure.dataset.r)] !== false);
    Array.from(trial.options).forEach((option, i) => { option.hidden = option.disabled = !allowed[i]; });
    if (!allowed[trial.selectedIndex]) trial.selectedIndex = allowed.indexOf(true);
    figures.forEach((figure, i) => figure.toggleAttribute("hidden", i !== trial.selectedIndex));
  }

  function state() {
    const params = new URLSearchParams();
    index.facets.forEach((facet) => {
      const boxes = all('input[name="' + facet.name + '"]', form);
      if (boxes.some((box) => !box.checked)) {
        const on = boxes.filter((box) => box.checked).map((box) => facet.values[Number(box.value)]);
        params.set(facet.name, JSON.stringify(on));
      }
    });
    sliders.forEach((slider) => { if (slider.value !== slider.defaultValue) params.set(slider.id, slider.value); });
    if (by && !by.selectedOptions[0].defaultSelected) params.set("by", by.value);
    if (trial && trial.selectedIndex > 0) params.set("trial", figures[trial.selectedIndex].dataset.r);
    return params;
  }

  let at = "";
  function remember() {
    const params = state();
    if (at) params.set("at", at);
    const text = params.toString();
    history.replaceState(null, "", text ? "#" + text : location.pathname + location.search);
  }

  // An address is read with care: names and values that this page does not have are passed over.
  function restore() {
    const hash = location.hash.slice(1);
    if (!hash.includes("=")) { at = byId(hash) ? hash : ""; return; }
    const params = new URLSearchParams(hash);
    index.facets.forEach((facet) => {
      let wanted = null;
      try { wanted = JSON.parse(params.get(facet.name)); } catch { wanted = null; }
      all('input[name="' + facet.name + '"]', form).forEach((box) => {
        box.checked = !Array.isArray(wanted) || wanted.includes(facet.values[Number(box.value)]);
      });
    });
    sliders.forEach((slider) => { const v = params.get(slider.id); if (v !== null && isFinite(v)) slider.value = v; });
    if (by && Array.from(by.options).some((option) => option.value === params.get("by"))) by.value = params.get("by");
    if (trial && params.has("trial")) {
      const i = figures.findIndex((figure) => figure.dataset.r === params.get("trial"));
      if (i >= 0) trial.selectedIndex = i;
    }
    at = params.get("at") || "";
    const place = at && all("main section").find((section) => section.id === at);
    if (place) place.scrollIntoView();
  }

  if (form) {
    form.addEventListener("change", () => { filter(); remember(); });
    form.addEventListener("reset", () => setTimeout(() => { filter(); remember(); }));
    form.addEventListener("submit", (event) => event.preventDefault());
  }
  if (trial) trial.addEventListener("change", () => { filter(); remember(); });
  addEventListener("hashchange", () => {
    const plain = !location.hash.includes("=");
    restore();
    if (plain && state().toString()) remember();
    filter(); rank();
  });

  // --- the recommendation: a deadline and a budget, ranked again ---
  // A way keeps a limit when the share of outcomes does that the need asks for, as the recommender has it; it may, when its
  // middle does. Between the middle and the upper end, which nineteen in twenty keep, outcomes are taken for log-normal.
  const offers = data("ways");
  const likely = (middle, high) => high === null ? middle : middle * Math.pow(high / middle, offers.sure);
  const limits = byId("limits");

  function limit(name) {
    const slider = byId(name === "time" ? "deadline" : "budget");
    const position = Number(slider.value), [low, high] = offers.scales[name];
    if (slider.value === slider.defaultValue && offers.limits[name] !== null) return offers.limits[name];
    return position >= offers.steps ? Infinity : low * Math.pow(high / low, position / (offers.steps - 1));
  }
  // As core.units.duration, so that the slider says what the table says.
  function duration(s) {
    if (s === Infinity) return "no limit";
    const significant = (x) => {
      const rounded = Number(x.toPrecision(3)), digits = Math.max(0, 2 - Math.floor(Math.log10(rounded)));
      return rounded.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
    };
    if (s < 1e-3) return significant(s * 1e6) + " us";
    if (s < 1) return significant(s * 1e3) + " ms";
    if (s < 60) return significant(s) + " s";
    const two = (x) => String(x % 60).padStart(2, "0"), whole = Math.round(s), minutes = Math.floor(whole / 60);
    if (minutes < 60) return minutes + " min " + two(whole) + " s";
    return Math.floor(minutes / 60) + " h " + two(minutes) + " min";
  }
  function usd(x) {
    if (x === Infinity) return "no limit";
    if (x > 0 && x < 0.01) return "$" + (x < 1e-4 ? x.toExponential(1) : x.toPrecision(2));
    return "$" + x.toLocaleString("en", { maximumFractionDigits: x < 100 ? 2 : 0 });
  }

  function judge(way, time, cost) {
    const over = [];
    // A service's p99 may be within the need's limit though nobody timed it; of a tighter one nothing is known.
    const untimed = time < Infinity && !(way.kept && time >= offers.limits.time);
    if (way.time === null ? untimed : way.time > time) over.push("late");
    if (way.cost === null ? cost < Infinity : Math.max(way.cost, way.bought) > cost) over.push("too dear");
    if (over.length) return { place: 2, word: over.join(", "), css: "over" };
    const sure = !(likely(way.time, way.time_high) > time) && !(likely(way.cost, way.cost_high) > cost);
    return sure ? { place: 0, word: "keeps both", css: "sure" } : { place: 1, word: "may keep both", css: "may" };
  }
  function place(id, attribute, other, per_cent, shown) {
    const group = byId(id);
    if (!group) return;
    group.toggleAttribute("hidden", !shown);
    [attribute, other].forEach((a) => group.firstElementChild.setAttribute(a, per_cent + "%"));
  }
  function rank() {
    if (!offers || !limits) return;
    const time = limit("time"), cost = limit("cost"), key = by.value;
    byId("deadline-word").textContent = duration(time);
    byId("budget-word").textContent = usd(cost);
    byId("deadline").setAttribute("aria-valuetext", duration(time));
    byId("budget").setAttribute("aria-valuetext", usd(cost));
    const order = offers.ways.map((way) => ({ way, ...judge(way, time, cost) })).sort((a, b) =>
      a.place - b.place || (a.way[key] ?? Infinity) - (b.way[key] ?? Infinity) || a.way.number - b.way.number);
    order.forEach(({ way, word, css }) => {
      const row = all('tr[data-way="' + way.number + '"]')[0];
      byId("ways").append(row);
      const cell = all("[data-fits]", row)[0];
      cell.textContent = word;
      cell.className = "fits " + css;
      all('[data-dot="' + way.number + '"]').forEach((dot) => dot.classList.toggle("over", css === "over"));
    });
    const share = (x, [low, high]) => 100 * Math.min(1, Math.max(0, Math.log(x / low) / Math.log(high / low)));
    place("limit-time", "x1", "x2", time === Infinity ? 100 : share(time, offers.scales.time), time < Infinity);
    place("limit-cost", "y1", "y2", cost === Infinity ? 0 : 100 - share(cost, offers.scales.cost), cost < Infinity);
    tell("limits", { time, cost, over: order.filter((entry) => entry.css === "over").map((entry) => entry.way.number) });
    const kept = order.filter((entry) => entry.place < 2), best = kept[0];
    byId("ranked").textContent = best
      ? kept.length + " of " + order.length + " ways; best in " + key + ": No. " + best.way.number + ", " + best.way.name + " (" + best.word + ")."
      : "None of these " + order.length + " ways keeps both limits.";
  }
  if (limits) {
    limits.addEventListener("input", () => { rank(); remember(); });
    limits.addEventListener("submit", (event) => event.preventDefault());
  }

  // --- saving what is in the page ---
  // A cell that a spreadsheet would take for a formula is made text by a quote before it.
  function csvCell(value) {
    if (value === null || value === undefined) return "";
    if (typeof value === "number") return String(value);
    const text = /^[=+\-@\t\r]/.test(value) ? "'" + value : String(value);
    return /[",\n\r]/.test(text) ? '"' + text.replace(/"/g, '""') + '"' : text;
  }
  function asCsv(table) {
    return [table.columns, ...table.rows].map((row) => row.map(csvCell).join(",")).join("\r\n") + "\r\n";
  }
  function asObjects(table) {
    return JSON.stringify(table.rows.map((row) => Object.fromEntries(row.map((v, i) => [table.columns[i], v]))), null, 1) + "\n";
  }
  function save(button) {
    const text = byId("data-" + button.dataset.save).textContent;
    const made = { csv: () => asCsv(JSON.parse(text)), json: () => asObjects(JSON.parse(text)), text: () => text }[button.dataset.as]();
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([made], { type: button.dataset.as === "csv" ? "text/csv" : "application/json" }));
    link.download = button.dataset.name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }
  all("[data-save]").forEach((button) => button.addEventListener("click", () => save(button)));

  restore();
  filter();
  rank();
  root.dataset.ready = "yes";
  tell("ready");
})();

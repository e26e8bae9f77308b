"use strict";
// Curves over the steps, drawn by uPlot in the page's colours, with a band for each phase.
(() => {
  const { make, small } = report.words;
  const NUM_COLOURS = 6;
  const FEW_POINTS = 40; // up to so many each is marked
  const MANY_POINTS = 60; // beyond, a running mean is drawn over them
  const HEIGHT = 170;
  const drawn = [];

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const ofSeries = (place) => colour(`--series-${place % NUM_COLOURS}`);

  /** Mean of the neighbourhood of each value, narrower at both ends. */
  function smoothed(values) {
    const reach = Math.max(1, Math.round(values.length * 0.025));
    return values.map((_, place) => {
      const near = values.slice(Math.max(0, place - reach), place + reach + 1).filter((value) => value !== null);
      return near.length ? near.reduce((sum, value) => sum + value, 0) / near.length : null;
    });
  }

  /** What is drawn on top of what: `{values, place, faint}` each. */
  function layersOf(chart) {
    if (chart.kind === "stack") {
      const sums = chart.steps.map(() => 0);
      const layers = chart.series.map(({ values }, place) => ({
        place,
        values: values.map((value, step) => (sums[step] += value ?? 0)),
      }));
      return layers.reverse();
    }
    const positive = (values) => (chart.kind === "log_line" ? values.map((value) => (value > 0 ? value : null)) : values);
    const layers = chart.series.flatMap((series, place) => {
      const values = positive(series.values);
      if (values.filter((value) => value !== null).length <= MANY_POINTS) return [{ place, values }];
      return [{ place, values, faint: true }, { place, values: smoothed(values) }];
    });
    const rank = ({ edge, faint }) => (edge ? 0 : faint ? 1 : 2);
    // The first series is what the title promises: it comes last, on top. Edges of deviations come first of all.
    return [...chart.series.flatMap(edgesOf), ...layers.reverse()].sort((one, other) => rank(one) - rank(other));
  }

  /** Above and below a series by its deviation. */
  function edgesOf({ values, spread }, place) {
    if (!spread) return [];
    const edge = (sign) => {
      const line = values.map((value, at) => (value === null || spread[at] === null ? null : value + sign * spread[at]));
      return line.length > MANY_POINTS ? smoothed(line) : line;
    };
    return [{ place, edge: true, values: edge(1) }, { place, edge: true, values: edge(-1) }];
  }

  function seriesOptions(chart, { place, values, faint, edge }) {
    if (edge) return { width: 0, points: { show: false } };
    if (chart.kind === "stack") {
      const bars = uPlot.paths.bars({ size: [0.9, 40] });
      return { paths: bars, fill: () => ofSeries(place), stroke: () => ofSeries(place), width: 0, points: { show: false } };
    }
    const count = values.filter((value) => value !== null).length;
    return {
      stroke: () => ofSeries(place) + (faint ? "55" : ""),
      width: faint ? 1 : 2,
      spanGaps: true,
      points: { show: count <= FEW_POINTS, size: 5, fill: () => ofSeries(place) },
    };
  }

  function bands(plot, phases, numSteps) {
    const { ctx, bbox } = plot;
    const scale = devicePixelRatio;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top - 16 * scale, bbox.width, bbox.height + 16 * scale);
    ctx.clip();
    ctx.font = `${11 * scale}px system-ui, sans-serif`;
    phases.forEach((phase, place) => {
      if (phase.first_step > numSteps) return;
      const left = plot.valToPos(phase.first_step - 0.5, "x", true);
      const right = plot.valToPos(Math.min(phase.last_step, numSteps) + 0.5, "x", true);
      ctx.fillStyle = colour(place % 2 ? "--band-1" : "--band-0");
      ctx.fillRect(left, bbox.top, right - left, bbox.height);
      ctx.fillStyle = colour("--soft");
      ctx.fillText(fitted(ctx, phase.name, right - left - 4 * scale), left + 2 * scale, bbox.top - 4 * scale);
    });
    ctx.restore();
  }

  function fitted(ctx, text, width) {
    let shown = report.words.visible(text);
    while (shown.length > 1 && ctx.measureText(shown).width > width) shown = shown.slice(0, -2) + "…";
    return shown;
  }

  function mark(plot) {
    const { step } = report.place.now;
    if (step === null || step < plot.scales.x.min || step > plot.scales.x.max) return;
    const x = plot.valToPos(step, "x", true);
    plot.ctx.fillStyle = colour("--mark");
    plot.ctx.fillRect(x - 0.5, plot.bbox.top, Math.max(1, devicePixelRatio), plot.bbox.height);
  }

  /** What the chart says, in words. */
  function told(chart) {
    const series = chart.series.map(({ label, values }) => {
      const known = values.map((value, place) => [chart.steps[place], value]).filter(([, value]) => value !== null);
      const [first, last] = [known[0], known.at(-1)];
      return `${label} from ${small(first[1])} at step ${first[0]} to ${small(last[1])} at step ${last[0]}`;
    });
    return `${chart.title}: ${series.join("; ")}`;
  }

  function legendOf(chart) {
    const values = chart.series.map(() => make("b"));
    const place = make("span", { class: "at" });
    const legend = make("p", { class: "key" });
    chart.series.forEach(({ label }, number) => {
      const style = { "--swatch": `var(--series-${number % NUM_COLOURS})` };
      legend.append(make("span", { class: "swatch", style }, make("span", { text: report.words.visible(label) }), " ", values[number]));
    });
    legend.append(place);
    const show = (at) => {
      chart.series.forEach((series, number) => {
        const value = at === null ? series.values.findLast((one) => one !== null) : series.values[at];
        values[number].textContent = value === null || value === undefined ? "–" : small(value);
      });
      place.textContent = at === null ? "" : `step ${chart.steps[at]}`;
    };
    show(null);
    return { legend, show };
  }

  function drawChart(chart, index, onPick) {
    const { legend, show } = legendOf(chart);
    const canvas = make("div", { class: "plot", role: "img", "aria-label": told(chart) });
    const figure = make("figure", { class: "card" }, make("h3", { text: chart.title }), make("p", { class: "soft", text: chart.note }), legend, canvas);
    const layers = layersOf(chart);
    const first = chart.steps[0];
    const axis = { stroke: () => colour("--soft"), grid: { stroke: () => colour("--rule"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
    const log = chart.kind === "log_line" && layers.some(({ values }) => values.some((value) => value > 0));
    const options = {
      width: 300,
      height: HEIGHT,
      padding: [index.phases.length ? 18 : 8, 14, 0, 0],
      legend: { show: false },
      cursor: { sync: { key: "steps" }, drag: { x: false, y: false }, points: { size: 6 } },
      scales: {
        x: { time: false, range: () => [Math.min(first, 1) - 0.5, Math.max(index.numSteps, first) + 0.5] },
        y: log ? { distr: 3 } : { range: (_, low, high) => yRange(chart, low, high) },
      },
      axes: [
        { ...axis, size: 24, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000], grid: { show: false } },
        { ...axis, size: 46, values: (_, values) => values.map((value) => (value === null ? "" : small(value))) },
      ],
      series: [{}, ...layers.map((layer) => seriesOptions(chart, layer))],
      bands: layers[0]?.edge ? [{ series: [1, 2], fill: () => ofSeries(layers[0].place) + "26" }] : [],
      hooks: {
        drawClear: [(plot) => bands(plot, index.phases, index.numSteps)],
        draw: [mark],
        setCursor: [({ cursor }) => show(cursor.idx ?? null)],
      },
    };
    const plot = new uPlot(options, [chart.steps, ...layers.map(({ values }) => values)], canvas);
    plot.over.addEventListener("click", () => plot.cursor.idx !== null && onPick(chart.steps[plot.cursor.idx]));
    drawn.push({ plot, canvas });
    return figure;
  }

  function yRange(chart, low, high) {
    if (chart.kind === "stack") return [0, (high || 1) * 1.05];
    if (low === null) return [0, 1];
    const margin = (high - low) * 0.08 || Math.abs(high) * 0.1 || 0.5;
    return [low >= 0 && low - margin < 0 ? 0 : low - margin, high + margin];
  }

  const watcher = new ResizeObserver((entries) => {
    for (const { target, contentRect } of entries) {
      const one = drawn.find(({ canvas }) => canvas === target);
      if (one && contentRect.width) one.plot.setSize({ width: Math.floor(contentRect.width), height: HEIGHT });
    }
  });

  function redraw() {
    for (const { plot } of drawn) plot.redraw(false);
  }

  report.charts = {
    /** Draws all charts of the index anew; `onPick(step)` where one is clicked into. */
    show(index, onPick) {
      for (const { plot, canvas } of drawn.splice(0)) {
        watcher.unobserve(canvas);
        plot.destroy();
      }
      for (const room of document.querySelectorAll(".charts")) {
        const charts = index.charts.filter((chart) => chart.room === room.dataset.room);
        room.replaceChildren(...charts.map((chart) => drawChart(chart, index, onPick)));
        if (!charts.length) room.append(make("p", { class: "soft", text: "No step has finished yet." }));
      }
      for (const { canvas } of drawn) watcher.observe(canvas);
    },
    redraw,
  };

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
})();

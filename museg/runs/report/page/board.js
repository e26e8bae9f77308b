"use strict";
// A group on its video's time axis: frames, annotated segments, and below them each completion's.
(() => {
  const { make, fixed, signed, seconds } = report.words;
  const FRAMES = 8; // of a strip: NUM_FRAMES in museg/runs/report/pictures.py
  const MARGIN_OF_UNKNOWN = 1.25; // where the duration isn't known, the axis goes so far beyond the last annotation
  const NUM_TICKS = 5;

  /** Where the time axis of a sample ends, in seconds. */
  function endOf(sample) {
    const last = Math.max(0, ...sample.solution.map(([, end]) => end));
    return Math.max(last, sample.duration ?? last * MARGIN_OF_UNKNOWN) || 1;
  }

  const percent = (time, end) => (100 * Math.min(Math.max(time, 0), end)) / end;

  function segment(kind, [start, stop], end) {
    const [left, right] = [percent(start, end), percent(stop, end)];
    return make("i", {
      class: kind + (stop > end ? " cut" : ""),
      style: { left: `${left}%`, width: `${right - left}%` },
      title: `${seconds(start)} to ${seconds(stop)}`,
      "data-start": start,
      "data-stop": stop,
    });
  }

  /** Start, end, start, … as pairs. */
  function pairs(times) {
    return Array.from({ length: times.length / 2 }, (_, place) => [times[2 * place], times[2 * place + 1]]);
  }

  function ticksOf(end) {
    const rough = end / NUM_TICKS;
    const decade = 10 ** Math.floor(Math.log10(rough));
    const width = [1, 2, 5, 10].map((one) => one * decade).find((one) => one >= rough);
    const ticks = make("div", { class: "ticks", "aria-hidden": "true" });
    for (let place = 0; place * width <= end + 1e-9; place++) {
      const left = percent(place * width, end);
      ticks.append(make("span", { text: seconds(place * width), style: { left: `${left}%` }, class: left > 93 ? "last" : null }));
    }
    return ticks;
  }

  const lane = (label, track, attributes = {}) => make("div", { class: "lane", ...attributes }, label, track);
  const label = (text) => make("span", { class: "label", text });

  function film(sample) {
    const address = report.source.strip(sample.video);
    if (!address) return null;
    const track = make("div", { class: "track film" });
    const whole = lane(label("video"), track, { hidden: true });
    // The strip's frames are decoded first: until then, or if there are none, the lane isn't there.
    const image = new Image();
    image.onload = () => {
      for (let place = 0; place < FRAMES; place++) {
        const style = { "background-image": `url("${address}")`, "background-position": `${(100 * place) / (FRAMES - 1)}% 50%` };
        track.append(make("span", { style: { ...style, "background-size": `${100 * FRAMES}% auto` } }));
      }
      track.style.setProperty("aspect-ratio", `${image.naturalWidth} / ${image.naturalHeight}`);
      whole.hidden = false;
    };
    image.src = address;
    return whole;
  }

  /** Values of one completion of a group's columns. */
  function completionOf(group, place, step) {
    return {
      place,
      reward: group.r[place],
      advantage: group.a[place],
      parts: step.parts.map((name, part) => [name, group.p[part][place]]).filter(([, value]) => value !== null),
      tokens: group.n[place],
      finish: step.finishes[group.f[place]],
      gap: group.g[place],
      segments: pairs(group.y[place]),
      text: group.t ? group.t[place] : null,
    };
  }

  function completionLane(completion, sample, end, chosen, onChoose) {
    const { place, reward, advantage, segments } = completion;
    const sign = advantage > 0 ? "up" : advantage < 0 ? "down" : "flat";
    const track = make("span", { class: "track" });
    track.append(...sample.solution.map((one) => segment("ghost", one, end)), ...segments.map((one) => segment("guess", one, end)));
    if (!segments.length) track.append(make("em", { text: "no valid segment" }));
    const told = segments.map(([start, stop]) => `${seconds(start)} to ${seconds(stop)}`).join(", ") || "no valid segment";
    const words = `Completion ${place + 1}: reward ${fixed(reward)}, advantage ${signed(advantage)}, ${told}`;
    return make(
      "button",
      { type: "button", class: "lane completion", "aria-pressed": String(chosen), "aria-label": words, tabindex: chosen ? null : "-1", onclick: () => onChoose(place) },
      make("span", { class: "label" }, make("b", { text: fixed(reward) }), make("span", { class: `advantage ${sign}`, text: signed(advantage) })),
      track,
    );
  }

  /** Arrows go from completion to completion. */
  function withArrows(list, count, chosen, onChoose) {
    list.addEventListener("keydown", (event) => {
      const move = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      const to = event.key === "Home" ? 0 : event.key === "End" ? count - 1 : chosen + move;
      if ((move === undefined && !["Home", "End"].includes(event.key)) || to < 0 || to >= count) return;
      event.preventDefault();
      onChoose(to);
    });
    return list;
  }

  function pointerShown(board) {
    const point = make("div", { class: "point", hidden: true }, make("span"));
    const overlay = make("div", { class: "overlay", "aria-hidden": "true" }, point);
    board.append(overlay);
    return {
      /** Mark a time on the axis; null takes the mark away. */
      at(time, end) {
        point.hidden = time === null || time > end;
        if (point.hidden) return;
        point.style.left = `${percent(time, end)}%`;
        point.classList.toggle("leftwards", time / end > 0.85);
        point.firstChild.textContent = seconds(time);
      },
      overlay,
    };
  }

  /**
   * Shows a group: `onChoose(place)` where a completion is, `onTimes(times)` what the pointer is on.
   * Gives `{pointAt(time)}`.
   */
  function showBoard(board, { sample, completions, chosen, onChoose, onTimes }) {
    const end = endOf(sample);
    const truth = make("div", { class: "track" }, ...sample.solution.map((one) => segment("truth", one, end)));
    const times = sample.solution.map(([start, stop]) => `${seconds(start)} to ${seconds(stop)}`).join(", ");
    const list = make("div", { class: "completions", role: "group", "aria-label": "Completions: arrow keys go from one to the next" });
    list.append(...completions.map((one) => completionLane(one, sample, end, one.place === chosen, onChoose)));
    board.replaceChildren(
      ...[
        film(sample),
        lane(label("annotated"), truth, { role: "img", "aria-label": `Annotated: ${times}` }),
        make("div", { class: "lane heads", "aria-hidden": "true" }, make("span", { class: "label" }, make("span", { text: "reward" }), make("span", { text: "advantage" })), make("span")),
        withArrows(list, completions.length, chosen, onChoose),
        lane(label(""), ticksOf(end)),
      ].filter((one) => one !== null),
    );
    const pointer = pointerShown(board);
    board.onpointermove = (event) => {
      const box = pointer.overlay.getBoundingClientRect();
      const share = (event.clientX - box.left) / box.width;
      pointer.at(share >= 0 && share <= 1 ? share * end : null, end);
      const over = event.target.dataset;
      onTimes(over.start === undefined ? [] : [Number(over.start), Number(over.stop)]);
    };
    board.onpointerleave = () => {
      pointer.at(null, end);
      onTimes([]);
    };
    return { pointAt: (time) => pointer.at(time, end) };
  }

  report.board = { show: showBoard, completionOf, endOf, segment, pairs };
})();

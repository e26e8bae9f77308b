"use strict";
// How one sample's predictions move over the steps in which it was drawn.
(() => {
  const { make, fixed } = report.words;
  const MAX_ROWS = 40;

  /** Steps and places at which a sample was drawn; of many, evenly spaced ones. */
  function drawsOf(index, number) {
    const draws = index.steps.flatMap(({ step, samples }) => samples.flatMap((one, place) => (one === number ? [{ step, place }] : [])));
    if (draws.length <= MAX_ROWS) return { draws, left: 0 };
    const some = Array.from({ length: MAX_ROWS }, (_, place) => draws[Math.round((place * (draws.length - 1)) / (MAX_ROWS - 1))]);
    return { draws: some, left: draws.length - MAX_ROWS };
  }

  function row(sample, end, { step, place }, data, isHere, onGo) {
    const group = data.groups[place];
    const mean = group.r.reduce((sum, value) => sum + value, 0) / group.r.length;
    const track = make("span", { class: "track" }, ...sample.solution.map((one) => report.board.segment("ghost", one, end)));
    for (const times of group.y) {
      for (const one of report.board.pairs(times)) {
        const bar = report.board.segment("veil", one, end);
        bar.style.setProperty("opacity", String(Math.max(0.12, 1 / group.y.length)));
        track.append(bar);
      }
    }
    return make(
      "button",
      { type: "button", class: "lane", "aria-pressed": String(isHere), "aria-label": `Step ${step}, mean reward ${fixed(mean)}`, onclick: () => onGo(step, place) },
      make("span", { class: "label" }, make("span", { text: `step ${step}` }), make("b", { text: fixed(mean) })),
      track,
    );
  }

  /** Shows all draws of a sample, `onGo(step, place)` where one is chosen. */
  async function showHistory(article, { index, sample, number, here, onGo, stillWanted }) {
    const { draws, left } = drawsOf(index, number);
    const end = report.board.endOf(sample);
    const steps = await Promise.all(draws.map(({ step }) => report.source.step(step)));
    if (!stillWanted()) return;
    const count = draws.length + left;
    const note = count === 1 ? "Drawn once so far in the steps kept." : `Drawn ${count} times${left ? `; ${draws.length} of them, evenly spaced` : ""}. The stronger, the more completions agree; outlined is what is annotated.`;
    article.replaceChildren(
      make("h3", { text: "This sample over the steps" }),
      make("p", { class: "soft", text: note }),
      make("div", { class: "board" }, ...draws.map((draw, place) => row(sample, end, draw, steps[place], draw.step === here.step && draw.place === here.place, onGo))),
    );
  }

  report.history = { show: showHistory };
})();

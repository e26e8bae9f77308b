"use strict";
// Puts the parts together: shows what the address names, and, live, asks for what is new.
(() => {
  const { make, clear, visible, fixed, seconds } = report.words;
  const { place, source, browser } = report;
  const POLL_MS = 3000;
  const byId = (id) => document.getElementById(id);
  let index = null;
  let turn = 0; // of what is shown: a later one overtakes
  let pending = false; // whether the chosen completion gets the focus
  let shownView = "";

  function trouble(error) {
    byId("trouble").hidden = error === null;
    byId("trouble").textContent = error === null ? "" : `This page can't go on: ${error.message ?? error}`;
  }

  function heading(group, sample, completions) {
    const video = index.videos[sample.video];
    const length = sample.duration === null ? "duration unknown" : seconds(sample.duration);
    const facts = [`step ${group.step}`, `sample ${sample.idx}`, visible(video), length, `${completions.length} completions, reward ${fixed(group.mean)} ± ${fixed(group.std)}`];
    return [
      make("h3", { class: "text", dir: "auto", text: visible(sample.problem) }),
      make("p", { class: "soft text" }, facts.join(" · "), " · ", make("a", { href: place.link(browser.placeOf(group)), text: "link to this group" })),
      make("p", { class: "key" }, make("span", { class: "swatch truth", text: "annotated" }), make("span", { class: "swatch guess", text: "predicted" })),
    ];
  }

  function showGroup(group, sample, step, chosen, focus) {
    const columns = step.groups[group.at];
    const completions = columns.r.map((_, at) => report.board.completionOf(columns, at, step));
    const best = completions.reduce((one, other) => (other.reward > one.reward ? other : one));
    const at = chosen !== null && chosen < completions.length ? chosen : best.place;
    const board = make("div", { class: "board" });
    clear(byId("group"), ...heading(group, sample, completions), board);
    let reading = null;
    const shown = report.board.show(board, {
      sample,
      completions,
      chosen: at,
      onChoose: (completion) => {
        pending = true;
        place.go({ ...browser.placeOf(group), completion });
      },
      onTimes: (times) => reading?.light(times),
    });
    reading = report.reading.show(byId("reading"), { completion: completions[at], end: report.board.endOf(sample), onTime: shown.pointAt });
    if (focus) board.querySelector('.completion[aria-pressed="true"]')?.focus({ preventScroll: true });
  }

  async function show(now) {
    const mine = ++turn;
    if (!index?.steps.length) return;
    report.charts.redraw();
    const known = index.steps.some(({ step }) => step === now.step);
    if (!known) return place.go({ step: nearest(now.step), completion: null });
    const group = browser.show(now);
    const parts = ["group", "reading", "history"].map(byId);
    for (const part of parts) part.hidden = group === null;
    if (group === null) return;
    const step = await source.step(group.step);
    if (mine !== turn) return;
    const focus = pending;
    pending = false;
    const sample = browser.sampleOf(group.number);
    // Whoever reads isn't disturbed by a step that has come elsewhere.
    const view = JSON.stringify([now, group, step.groups[group.at].r]);
    if (view !== shownView) showGroup(group, sample, step, now.completion, focus);
    shownView = view;
    await report.history.show(byId("history"), {
      index,
      sample,
      number: group.number,
      here: { step: group.step, place: group.at },
      onGo: (to, at) => place.go(browser.placeOf({ step: to, number: group.number, at })),
      stillWanted: () => mine === turn,
    });
  }

  /** The step on record nearest to one that isn't; the last one where none is named. */
  function nearest(step) {
    const steps = index.steps.map((one) => one.step);
    if (step === null) return steps.at(-1);
    return steps.reduce((one, other) => (Math.abs(other - step) < Math.abs(one - step) ? other : one));
  }

  function pick(step) {
    if (!index.steps.length) return;
    place.go({ step: nearest(step), sample: null, draw: 0, completion: null, of: "step" });
    byId("timelines").scrollIntoView({ behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
  }

  function renew(state) {
    const wasLast = index?.steps.at(-1)?.step;
    index = browser.index = state.index;
    if (state.overview !== null) byId("overview").innerHTML = state.overview;
    report.charts.show(index, pick);
    byId("viewer").hidden = !index.steps.length;
    byId("curves-lead").hidden = !index.steps.length;
    byId("no-timelines").hidden = Boolean(index.steps.length);
    const newest = index.steps.at(-1)?.step;
    const follows = source.live && byId("follow").checked && newest !== wasLast;
    if (follows) place.go({ step: newest, sample: null, draw: 0, completion: null });
    else guarded(show)(place.now);
  }

  const guarded = (work) => (...values) => Promise.resolve(work(...values)).catch(trouble);

  async function poll() {
    try {
      const state = await source.state();
      if (state) renew(state);
      byId("liveness").textContent = `· ${index.numSteps} steps, up to date`;
      trouble(null);
    } catch (error) {
      byId("liveness").textContent = "· the server doesn't answer";
      if (!(error instanceof TypeError)) trouble(error);
    }
    setTimeout(poll, POLL_MS);
  }

  async function start() {
    browser.listen();
    place.onChange(guarded(show));
    if (source.live) {
      byId("follow").checked = !place.names();
      byId("follow").addEventListener("change", () => byId("follow").checked && pick(index.numSteps));
      return poll();
    }
    renew(await source.state());
    if (place.names()) byId("timelines").scrollIntoView();
  }

  guarded(start)();
})();

"use strict";
// Which group is looked at: the step, what comes first in the list, the search, and the group chosen from it.
(() => {
  const { make, shortened, visible, fixed } = report.words;
  const { place } = report;
  const MAX_LISTED = 100;
  const byId = (id) => document.getElementById(id);
  let index = null;
  let found = [];
  let highest = 1; // mean reward and deviation of a group, where the meters end

  /** A sample of the index by number. */
  function sampleOf(number) {
    const { idx, video, problem, solution, duration } = index.samples;
    return { idx: idx[number], video: video[number], problem: problem[number], solution: solution[number], duration: duration[number] };
  }

  /** The groups of a step of the index. */
  function groupsOf({ step, samples, means, stds }) {
    return samples.map((number, at) => ({ step, number, at, mean: means[at], std: stds[at] }));
  }

  const ORDERS = {
    worst: (one, other) => one.mean - other.mean,
    best: (one, other) => other.mean - one.mean,
    disputed: (one, other) => other.std - one.std,
  };

  function matches(words) {
    if (!words.length) return () => true;
    const wanted = index.samples.problem.map((problem, number) => {
      const text = `${problem} ${index.videos[index.samples.video[number]]} sample ${index.samples.idx[number]}`.toLowerCase();
      return words.every((word) => text.includes(word));
    });
    return ({ number }) => wanted[number];
  }

  function listed({ step, order, of, q }) {
    const steps = of === "run" ? index.steps : index.steps.filter((one) => one.step === step);
    const words = q.toLowerCase().split(/\s+/).filter(Boolean);
    return steps.flatMap(groupsOf).filter(matches(words)).sort(ORDERS[order]);
  }

  /** The group that the place names: that sample's draw in its step; else the first of the list. */
  function chosenOf({ step, sample, draw }) {
    const row = index.steps.find((one) => one.step === step);
    const same = row && sample !== null ? groupsOf(row).filter(({ number }) => index.samples.idx[number] === sample) : [];
    return same[draw] ?? same[0] ?? found[0] ?? null;
  }

  /** The place of a group, as changes. */
  function placeOf({ step, number, at }) {
    const row = index.steps.find((one) => one.step === step);
    const idx = index.samples.idx[number];
    const draw = row.samples.slice(0, at).filter((one) => index.samples.idx[one] === idx).length;
    return { step, sample: idx, draw, completion: null };
  }

  function item(group, chosen) {
    const sample = sampleOf(group.number);
    const width = (value) => `${(100 * Math.min(Math.max(value, 0), highest)) / highest}%`;
    const meter = make("span", { class: "meter", "aria-hidden": "true" }, make("i", { style: { width: width(group.mean) } }));
    const low = Math.max(0, group.mean - group.std);
    meter.append(make("i", { class: "spread", style: { left: width(low), width: width(group.mean + group.std - low) } }));
    const isChosen = chosen !== null && group.step === chosen.step && group.at === chosen.at;
    return make(
      "li",
      {},
      make(
        "button",
        { type: "button", "aria-current": isChosen ? "true" : null, onclick: () => place.go(placeOf(group)) },
        make("span", { class: "question text", dir: "auto", text: shortened(sample.problem).slice(0, 200) }),
        make("span", { class: "facts" }, make("span", { class: "soft", text: `step ${group.step} · sample ${sample.idx}` }), make("span", { class: "mean", text: `${fixed(group.mean)} ± ${fixed(group.std)}` })),
        meter,
      ),
    );
  }

  function showList(chosen) {
    const list = byId("groups");
    const hadFocus = list.contains(document.activeElement);
    list.replaceChildren(...found.slice(0, MAX_LISTED).map((group) => item(group, chosen)));
    const more = found.length > MAX_LISTED ? `, the first ${MAX_LISTED} listed` : "";
    byId("found").textContent = found.length ? `${found.length} group${found.length > 1 ? "s" : ""}${more}, by mean reward ± deviation` : "No group matches the search.";
    const current = list.querySelector("[aria-current]");
    if (!current) return;
    if (hadFocus) current.focus();
    // Not scrollIntoView, which would move the page too.
    const [box, view] = [current.getBoundingClientRect(), list.getBoundingClientRect()];
    if (box.top < view.top || box.bottom > view.bottom) list.scrollTop += box.top - view.top - (view.height - box.height) / 2;
  }

  function showControls({ step, order, of, q }) {
    const at = Math.max(0, index.steps.findIndex((one) => one.step === step));
    const slider = byId("step");
    slider.max = String(index.steps.length - 1);
    slider.value = String(at);
    const phase = index.phases.find((one) => one.first_step <= step && step <= one.last_step);
    byId("step-now").textContent = `${step} of ${index.numSteps}${phase ? `, ${visible(phase.name)}` : ""}`;
    slider.setAttribute("aria-valuetext", `step ${byId("step-now").textContent}`);
    byId("step-before").disabled = at === 0;
    byId("step-after").disabled = at === index.steps.length - 1;
    document.querySelector(`input[name="order"][value="${order}"]`).checked = true;
    document.querySelector(`input[name="scope"][value="${of}"]`).checked = true;
    if (byId("search") !== document.activeElement) byId("search").value = q;
  }

  function showKept({ step }) {
    const row = index.steps.find((one) => one.step === step);
    const notes = [];
    if (index.stride > 1) notes.push(`To stay small, this page has the completions of every ${index.stride}th step; \`museg report\` may write more.`);
    if (row.texts < row.samples.length) notes.push(`Of this step's ${row.samples.length} groups all rewards and segments are here, and the texts of ${row.texts}: the worst, the best, the most disputed.`);
    byId("kept").textContent = notes.join(" ");
    byId("kept").hidden = !notes.length;
  }

  function listen() {
    const toStep = (at) => {
      const row = index.steps[Math.min(Math.max(at, 0), index.steps.length - 1)];
      byId("follow").checked = false;
      place.go({ step: row.step, completion: null, ...(place.now.of === "step" ? keptSample(row) : { sample: null, draw: 0 }) });
    };
    byId("step").addEventListener("input", (event) => toStep(Number(event.target.value)));
    byId("step-before").addEventListener("click", () => toStep(Number(byId("step").value) - 1));
    byId("step-after").addEventListener("click", () => toStep(Number(byId("step").value) + 1));
    const first = { sample: null, draw: 0, completion: null };
    byId("order").addEventListener("change", (event) => place.go({ order: event.target.value, ...first }));
    byId("scope").addEventListener("change", (event) => place.go({ of: event.target.value, ...first }));
    byId("search").addEventListener("input", (event) => place.go({ q: event.target.value, ...first }));
    byId("groups").addEventListener("keydown", (event) => {
      const move = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      const buttons = [...byId("groups").querySelectorAll("button")];
      const next = buttons[buttons.indexOf(document.activeElement) + move];
      if (!move || !next) return;
      event.preventDefault();
      next.focus();
    });
  }

  /** The sample at hand, where the other step has it as well. */
  function keptSample(row) {
    const has = row.samples.some((number) => index.samples.idx[number] === place.now.sample);
    return has ? { draw: 0 } : { sample: null, draw: 0 };
  }

  report.browser = {
    listen,
    sampleOf,
    placeOf,
    set index(value) {
      index = value;
      highest = 1e-9;
      for (const { means, stds } of index.steps) means.forEach((mean, at) => (highest = Math.max(highest, mean + stds[at])));
    },
    /** Shows controls and list of a place and gives the group that it names, or null. */
    show(now) {
      found = listed(now);
      const chosen = chosenOf(now);
      showControls(chosen && now.of === "run" ? { ...now, step: chosen.step } : now);
      showKept(now);
      showList(chosen);
      return chosen;
    },
  };
})();

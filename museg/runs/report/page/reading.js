"use strict";
// One completion's text, its times highlighted and linked to the axis, and what it earned by part.
(() => {
  const { make, visible, fixed, signed, seconds, small } = report.words;
  const NUMBER = /[0-9]+(?:\.[0-9]+)?|\.[0-9]+/g; // as the timestamp reward reads them
  const TAG = /<\/?(?:think|answer)>/g;
  const MAX_SHOWN = 20000;

  /** A number of the text that may be a time: pointing at it marks it on the axis. */
  function timeOf(text, answered, end, onTime) {
    const time = Number(text);
    if (time > end) return make("span", { class: "beyond", text, title: `${seconds(time)}: after the video's end` });
    const isAnswered = answered.has(time);
    return make("button", {
      type: "button",
      class: `time${isAnswered ? " answered" : ""}`,
      text,
      title: `${seconds(time)}${isAnswered ? ", an end of an answered segment" : ""}`,
      "data-time": time,
      onpointerenter: () => onTime(time),
      onpointerleave: () => onTime(null),
      onfocus: () => onTime(time),
      onblur: () => onTime(null),
      onclick: () => onTime(time),
    });
  }

  /** Pieces of `text` between the matches of a pattern, and the matches, each made into nodes. */
  function* pieces(text, pattern, between, match) {
    let last = 0;
    for (const found of text.matchAll(pattern)) {
      if (found.index > last) yield* between(text.slice(last, found.index));
      yield match(found[0]);
      last = found.index + found[0].length;
    }
    if (last < text.length) yield* between(text.slice(last));
  }

  function textOf(completion, end, onTime) {
    const answered = new Set(completion.segments.flat());
    const plain = (text) => pieces(text, NUMBER, (rest) => [document.createTextNode(visible(rest))], (number) => timeOf(number, answered, end, onTime));
    const shown = completion.text.slice(0, MAX_SHOWN);
    const nodes = pieces(shown, TAG, plain, (tag) => make("code", { class: "tag", text: tag }));
    const element = make("div", { class: "said text", dir: "auto", tabindex: "0" }, ...nodes);
    const cut = completion.text.length - shown.length;
    if (cut) element.append(make("span", { class: "soft", text: ` … and ${cut} characters more` }));
    return element;
  }

  function partsOf(completion) {
    const most = Math.max(1, ...completion.parts.map(([, value]) => value));
    const rows = completion.parts.map(([name, value]) => {
      const width = `${(100 * Math.max(0, value)) / most}%`;
      return make("div", {}, make("dt", { text: visible(name).replaceAll("_", " ") }), make("dd", {}, make("b", { text: fixed(value, 3) }), make("span", { class: "meter" }, make("i", { style: { width } }))));
    });
    return make("dl", { class: "parts", "aria-label": "Parts of the reward" }, ...rows);
  }

  /** Shows a completion; `onTime(time or null)` where one of its times is pointed at. Gives `{light(times)}`. */
  function showReading(article, { completion, end, onTime }) {
    const { place, reward, advantage, tokens, finish, gap, segments } = completion;
    const answer = segments.map(([start, stop]) => `${seconds(start)} to ${seconds(stop)}`).join(", ") || "no valid segment";
    const facts = [`answers ${answer}`, `${tokens} tokens`, `ended by ${visible(finish)}`];
    if (gap !== null) facts.push(`largest logprob gap ${small(gap)}`);
    article.replaceChildren(
      make("h3", {}, `Completion ${place + 1} `, make("small", { class: "soft", text: `reward ${fixed(reward)}, advantage ${signed(advantage)}` })),
      completion.text === null
        ? make("p", { class: "soft said", text: "This page keeps the texts of the most telling groups of each step only, to stay small; rollouts/ of the run has them all." })
        : textOf(completion, end, onTime),
      partsOf(completion),
      make("p", { class: "soft", text: facts.join(" · ") }),
    );
    const times = [...article.querySelectorAll(".time")];
    return {
      light(wanted) {
        for (const one of times) one.classList.toggle("lit", wanted.includes(Number(one.dataset.time)));
      },
    };
  }

  report.reading = { show: showReading };
})();

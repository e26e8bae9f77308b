"use strict";
// Elements, numbers and texts. Every text of data or model goes through textContent, never through markup.
(() => {
  const CONTROLS = /[\u0000-\u0008\u000b-\u001f\u007f]/g;
  const UNSEEN = /[\u0080-\u009f\u061c\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]/g;

  /** Control characters and marks of direction as something that is seen and does nothing. */
  function visible(text) {
    return text
      .replace(CONTROLS, (one) => (one === "\u007f" ? "\u2421" : String.fromCharCode(0x2400 + one.charCodeAt(0))))
      .replace(UNSEEN, (one) => `⟨U+${one.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`);
  }

  /** An element with attributes (`text` is its text, `on…` a listener) and children. */
  function make(name, attributes = {}, ...children) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (value === null || value === undefined || value === false) continue;
      if (key === "text") element.textContent = value;
      else if (key === "style") for (const [property, one] of Object.entries(value)) element.style.setProperty(property, one);
      else if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
      else element.setAttribute(key, value === true ? "" : value);
    }
    element.append(...children.filter((child) => child !== null));
    return element;
  }

  const minus = (text) => text.replace("-", "−");

  /** What is in quotes, where a question quotes what it asks for: that tells one from the others. */
  function shortened(problem) {
    const quoted = /["'“‘]([^"“”]{3,})["'”’]/.exec(problem);
    return visible(quoted ? quoted[1] : problem);
  }

  report.words = {
    visible,
    make,
    shortened,
    fixed: (value, digits = 2) => minus(value.toFixed(digits)),
    signed: (value, digits = 2) => (value > 0 ? "+" : "") + minus(value.toFixed(digits)),
    seconds: (value) => `${minus(String(Math.round(value * 100) / 100))} s`,
    small: (value) => (value === 0 ? "0" : Math.abs(value) < 1e-3 || Math.abs(value) >= 1e5 ? value.toExponential(1) : String(Number(value.toPrecision(3)))),
    clear: (element, ...children) => element.replaceChildren(...children.filter((child) => child !== null)),
  };
})();

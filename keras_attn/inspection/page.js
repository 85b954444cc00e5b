
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const [mapBox, headBox, reading, ramp, low, high] =
  ["map", "head", "reading", "ramp", "low", "high"].map((id) => document.getElementById(id));
const inputs = [...document.querySelectorAll("#inputs .place")];
const outputs = [...document.querySelectorAll("#outputs .place")];
// Who looks: the positions themselves where there are no others.
const lookers = outputs.length ? outputs : inputs;
const real = (place) => !place.classList.contains("padding");
const label = (place) => place.getAttribute("aria-label");
const short = (number) => String(Number(number.toPrecision(3)));
let hovered = null; // the position under the mouse
let chosen = null; // the one that was clicked, or reached by keys

document.querySelector(".stage").style.setProperty("--columns", data.columns);

function showHeads() {
  const count = data.maps[mapBox.selectedIndex].heads.length;
  const names = count === 1 ? ["0"] : ["mean", ...Array(count).keys()];
  headBox.replaceChildren(...names.map((name) => new Option(name)));
  document.getElementById("heads").hidden = count === 1;
}

// What position t looks at, a number for each input; null where no position is needed to tell and none is there.
function row(map, t) {
  if (map.rows === 1) t = 0;
  if (t === null) return null;
  const heads = headBox.value === "mean" ? map.heads : [map.heads[Number(headBox.value)]];
  const first = t * inputs.length;
  return inputs.map((_, s) => heads.reduce((sum, head) => sum + head[first + s], 0) / heads.length);
}

function shade(place, number, limit) {
  const share = Math.min(1, Math.abs(number) / limit);
  place.style.setProperty("--share", share.toFixed(4));
  place.classList.toggle("below", number < 0);
  place.classList.toggle("strong", share > 0.55);
}

function read(map, numbers, t) {
  if (numbers === null) return "Move over a position, or go to one by Tab and the arrow keys, to see what it looks at.";
  if (map.rows === 1 && t !== null && !outputs.length) return `“${label(inputs[t])}”: ${short(numbers[t])}`;
  const places = inputs.map((_, s) => s).filter((s) => real(inputs[s]) && numbers[s] !== 0);
  places.sort((one, other) => Math.abs(numbers[other]) - Math.abs(numbers[one]));
  const largest = places.slice(0, 5).map((s) => `“${label(inputs[s])}” ${short(numbers[s])}`).join(", ") || "nothing";
  return map.rows === 1 ? `The largest: ${largest}` : `“${label(lookers[t])}” looks at: ${largest}`;
}

function show() {
  const map = data.maps[mapBox.selectedIndex];
  const t = hovered === null ? chosen : hovered;
  const numbers = row(map, t);
  inputs.forEach((place, s) => shade(place, numbers === null || !real(place) ? 0 : numbers[s], map.limit));
  lookers.forEach((place, index) => {
    place.classList.toggle("looks", index === t && map.rows > 1);
    place.setAttribute("aria-selected", String(index === chosen));
  });
  low.textContent = map.signed ? short(-map.limit) : "0";
  high.textContent = short(map.limit);
  ramp.classList.toggle("signed", map.signed);
  reading.textContent = read(map, numbers, t);
}

function choose(index) {
  chosen = index;
  lookers.forEach((place, other) => { place.tabIndex = other === (index ?? first()) ? 0 : -1; });
  show();
}

function first() { return lookers.findIndex(real); }

// The next real position in steps of so many; the same where there is none.
function next(index, step) {
  let other = index + step;
  while (other in lookers && !real(lookers[other])) other += step;
  return other in lookers ? other : index;
}

const below = outputs.length ? 1 : data.columns;
const steps = {ArrowLeft: -1, ArrowRight: 1, ArrowUp: -below, ArrowDown: below};
const ends = {Home: () => next(-1, 1), End: () => next(lookers.length, -1)};

lookers.forEach((place, index) => {
  if (!real(place)) return;
  place.addEventListener("pointerenter", () => { hovered = index; show(); });
  place.addEventListener("pointerleave", () => { hovered = null; show(); });
  place.addEventListener("focus", () => choose(index));
  place.addEventListener("keydown", (event) => {
    if (event.key === "Escape") return choose(null);
    const to = event.key in steps ? next(index, steps[event.key]) : ends[event.key]?.();
    if (to === undefined) return;
    event.preventDefault();
    hovered = null;
    lookers[to].focus();
  });
});
mapBox.addEventListener("change", () => { showHeads(); show(); });
headBox.addEventListener("change", show);
showHeads();
choose(null);

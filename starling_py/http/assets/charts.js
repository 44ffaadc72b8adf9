"use strict";
// A chart of the last ten minutes, drawn by uPlot in the colours of the page.

const SPAN = 600;

class Chart {
  constructor(place, series) {
    this.place = place;
    this.series = series; // the names of the colours
    this.data = [[], ...series.map(() => [])];
    this.plot = null;
    new ResizeObserver(() => this.resize()).observe(place);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.anew());
  }

  add(time, values) {
    const times = this.data[0];
    if (times.length && time <= times[times.length - 1]) return;
    times.push(time);
    values.forEach((value, index) => this.data[index + 1].push(value));
    while (times[0] < time - SPAN) this.data.forEach((each) => each.shift());
    if (this.plot) this.plot.setData(this.data);
    else this.anew();
  }

  clear() {
    this.data = [[], ...this.series.map(() => [])];
    if (this.plot) this.plot.setData(this.data);
  }

  resize() {
    const width = this.place.clientWidth;
    if (this.plot && width) this.plot.setSize({ width, height: 150 });
    else if (!this.plot && this.data[0].length) this.anew();
  }

  anew() {
    if (this.plot) this.plot.destroy();
    this.plot = null;
    const width = this.place.clientWidth;
    if (!width) return; // not shown
    const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
    this.plot = new uPlot({
      width, height: 150, padding: [8, 24, 0, 0], cursor: { drag: { x: false, y: false } },
      scales: { x: { range: (_, low, high) => [Math.min(low, high - 60), high] }, y: { range: (_, low, high) => [0, Math.max(high * 1.1, 1)] } },
      axes: [{ ...axis, size: 26, space: 90, values: (_, marks) => marks.map((each) => new Date(each * 1000).toLocaleTimeString("en-GB")) },
             { ...axis, size: 56, values: (_, marks) => marks.map((each) => short(each)) }],
      series: [{}, ...this.series.map((name, index) => ({ stroke: colour(name), width: 1.5, fill: index ? undefined : colour("--fill"), points: { show: false } }))],
    }, this.data, this.place);
  }
}

// A number in at most five characters: 1234567 is 1.2M.
function short(number) {
  if (number === null || number === undefined) return "";
  for (const [unit, letter] of [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e4, "k"]])
    if (Math.abs(number) >= unit) {
      const whole = number / (letter === "k" ? 1e3 : unit);
      return (Math.abs(whole) >= 100 ? Math.round(whole) : Math.round(whole * 10) / 10) + letter;
    }
  return String(Number.isInteger(number) ? number : Math.round(number * 10) / 10);
}

// A time in its largest unit: 26m.
function brief(seconds) {
  return span(seconds).split(" ")[0];
}

function span(seconds) {
  if (seconds < 0) return "-";
  if (seconds < 60) return (seconds < 10 ? Math.round(seconds * 10) / 10 : Math.round(seconds)) + "s";
  if (seconds < 3600) return Math.floor(seconds / 60) + "m " + Math.round(seconds % 60) + "s";
  if (seconds < 86400) return Math.floor(seconds / 3600) + "h " + Math.floor((seconds % 3600) / 60) + "m";
  return Math.floor(seconds / 86400) + "d " + Math.floor((seconds % 86400) / 3600) + "h";
}

// Looking closer at the panels of a report: values under the pointer, one cursor for all panels of the same horizontal
// axis, zoom, copies. The page says everything without it.
"use strict";
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const shape = (svg, name, kind) => {
    const made = svg.appendChild(document.createElementNS(SVG, name));
    made.setAttribute("class", kind);
    return made;
  };
  const put = (element, values) => Object.entries(values).forEach(([k, v]) => element.setAttribute(k, v));
  const told = (v) => (v !== 0 && (Math.abs(v) < 1e-3 || Math.abs(v) >= 1e6) ? v.toExponential(3) : String(+v.toPrecision(5)));
  const button = (text, label, act) => {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = text;
    made.setAttribute("aria-label", label);
    made.title = label;
    made.addEventListener("click", act);
    return made;
  };

  class Panel {
    constructor(root) {
      this.root = root;
      this.svg = root.querySelector("svg");
      Object.assign(this, JSON.parse(root.querySelector("script").textContent));
      this.whole = this.svg.getAttribute("viewBox").split(/\s+/).map(Number);
      this.view = [...this.whole];
      this.line = shape(this.svg, "line", "cursor");
      this.spot = shape(this.svg, "circle", "spot");
      this.out = root.querySelector("output");
      this.at = [0, 0];
      const bar = document.createElement("div");
      bar.className = "tools";
      bar.append(
        button("+", "zoom in", () => this.zoom(0.6)),
        button("−", "zoom out", () => this.zoom(1 / 0.6)),
        button("↺", "whole panel", () => this.reset()),
      );
      root.append(bar);
      this.svg.addEventListener("pointermove", (e) => this.move(e));
      this.svg.addEventListener("pointerdown", (e) => this.grab(e));
      this.svg.addEventListener("pointerup", () => (this.held = null));
      this.svg.addEventListener("pointerleave", () => { this.held = null; clear(); });
      this.svg.addEventListener("dblclick", (e) => this.zoom(0.5, this.place(e)));
      root.addEventListener("keydown", (e) => this.key(e));
      root.addEventListener("blur", () => clear());
    }
    place(e) {
      const p = new DOMPoint(e.clientX, e.clientY).matrixTransform(this.svg.getScreenCTM().inverse());
      return [p.x, p.y];
    }
    move(e) {
      const p = this.place(e);
      if (this.held && this.view[2] < this.whole[2]) {
        this.look([this.view[0] + this.held[0] - p[0], this.view[1] + this.held[1] - p[1], this.view[2], this.view[3]]);
        return;
      }
      let best = 24 ** 2, found = null;
      this.series.forEach((s, k) => s.pixels.forEach(([x, y], i) => {
        const d = (x - p[0]) ** 2 + (y - p[1]) ** 2;
        if (d < best) { best = d; found = [k, i]; }
      }));
      if (found) this.show(found);
      else clear();
    }
    grab(e) {
      this.held = this.place(e);
      if (this.view[2] < this.whole[2]) this.svg.setPointerCapture(e.pointerId);
    }
    show([k, i]) {
      this.at = [k, i];
      const s = this.series[k], [x, y] = s.values[i];
      clear();
      put(this.spot, { cx: s.pixels[i][0], cy: s.pixels[i][1], r: 4, visibility: "visible" });
      this.out.textContent = `${s.name ? s.name + ": " : ""}${this.x || "x"} ${told(x)}, ${this.y || "y"} ${told(y)}`;
      all.filter((other) => other.x && other.x === this.x).forEach((other) => other.cross(x));
    }
    cross(x) {
      let best = Infinity, at = null;
      this.series.forEach((s) => s.values.forEach(([v], i) => {
        if (Math.abs(v - x) < best) { best = Math.abs(v - x); at = s.pixels[i][0]; }
      }));
      if (at !== null) put(this.line, { x1: at, x2: at, y1: this.box[1], y2: this.box[1] + this.box[3], visibility: "visible" });
    }
    clear() {
      [this.line, this.spot].forEach((e) => e.setAttribute("visibility", "hidden"));
      this.out.textContent = "";
    }
    look(view) {
      const fit = (low, size, start, span) => Math.min(Math.max(low, start), start + span - size);
      const [x, y, w, h] = view, [X, Y, W, H] = this.whole;
      this.view = [fit(x, w, X, W), fit(y, h, Y, H), w, h];
      this.svg.setAttribute("viewBox", this.view.join(" "));
    }
    zoom(factor, centre) {
      const [x, y, w, h] = this.view;
      const size = Math.min(this.whole[2], Math.max(this.whole[2] / 40, w * factor)), f = size / w;
      const [cx, cy] = centre || [x + w / 2, y + h / 2];
      this.look([cx - (cx - x) * f, cy - (cy - y) * f, w * f, h * f]);
    }
    reset() { this.look([...this.whole]); }
    key(e) {
      if (e.target !== this.root || !this.series.length) return;
      const [k, i] = this.at, n = this.series.length;
      const step = (s, j) => this.show([s, Math.min(Math.max(j, 0), this.series[s].values.length - 1)]);
      const keys = {
        ArrowRight: () => step(k, i + 1), ArrowLeft: () => step(k, i - 1),
        Home: () => step(k, 0), End: () => step(k, Infinity),
        ArrowDown: () => step((k + 1) % n, i), ArrowUp: () => step((k + n - 1) % n, i),
        "+": () => this.zoom(0.6), "=": () => this.zoom(0.6), "-": () => this.zoom(1 / 0.6), "0": () => this.reset(),
      };
      if (e.key in keys && !e.ctrlKey && !e.metaKey && !e.altKey) { keys[e.key](); e.preventDefault(); }
    }
  }

  const all = [...document.querySelectorAll(".panel")].map((root) => new Panel(root));
  const clear = () => all.forEach((panel) => panel.clear());
  document.querySelectorAll("details pre").forEach((pre) => {
    const made = button("copy", "copy", async () => {
      try {
        await navigator.clipboard.writeText(pre.textContent);
        made.textContent = "copied";
      } catch {  // a page opened as a file may not write to the clipboard: mark the text instead
        getSelection().selectAllChildren(pre);
        made.textContent = "marked: press Ctrl C";
      }
    });
    pre.before(made);
  });
})();

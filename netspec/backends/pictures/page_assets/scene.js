"use strict";
// The picture as SVG. Colors are attributes, not style sheets, so that what is exported is what is seen.

const SVG = "http://www.w3.org/2000/svg";

function svgElement(tag, attributes = {}, text = undefined) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

function mix(from, to, share) {
  const channel = (color, i) => parseInt(color.slice(1 + 2 * i, 3 + 2 * i), 16);
  const mixed = [0, 1, 2].map((i) => Math.round(channel(from, i) + (channel(to, i) - channel(from, i)) * share));
  return `#${mixed.map((value) => value.toString(16).padStart(2, "0")).join("")}`;
}

// Costs span powers of ten: the root keeps the small ones apart without hiding how much the great ones take.
const costShare = (cost, greatest) => (greatest ? Math.sqrt(cost / greatest) : 0);

const EDGE_NAMES = { shortcut: "shortcut", auxiliary: "training only", failed: "does not fit" };

class Scene {
  // `plan` is a group of items that `layout` places. `color` is `category` or the name of a cost.
  constructor(plan, layout, palette, color) {
    Object.assign(this, { palette, color, width: layout.width, height: layout.height });
    this.entries = []; // what can be selected, in the order the network runs
    this.standing = new Map(); // path to the innermost entry that stands for it
    this.root = svgElement("g");
    this.collect(plan.items);
    this.greatest = Math.max(0, ...this.boxes.map((item) => item.cost[color] || 0));
    this.group(plan.items, layout, this.root, { x: 0, y: 0, level: 0, parent: null });
  }

  collect(items) {
    this.boxes = [];
    this.kinds = new Set();
    const visit = (found) => {
      for (const item of found) {
        if (item.type === "frame") visit(item.group.items);
        else if (item.type === "box") this.boxes.push(item);
      }
    };
    visit(items);
  }

  group(items, layout, parent, at) {
    const edges = svgElement("g", { fill: "none" });
    const entries = items.map((item, i) => this.item(item, layout.places[i], parent, at));
    const mainLast = [...layout.edges].sort((a, b) => (a.kind === "main") - (b.kind === "main"));
    for (const edge of mainLast) this.edge(edge, items[edge.target], edges);
    for (const { source, target, port, place } of layout.edges) {
      const from = entries[source].outs?.get(port) ?? entries[source];
      const to = entries[target].ins?.get(place) ?? entries[target];
      from.after.push(to);
      to.before.push(from);
    }
    parent.append(edges); // above the boxes, as the copies behind one reach below it
    return entries;
  }

  item(item, place, parent, at) {
    if (item.type === "port") return { item, after: [], before: [], parent: at.parent };
    const element = svgElement("g", { transform: `translate(${round(place.x)} ${round(place.y)})`, class: item.type });
    const entry = {
      item, element, parent: at.parent, after: [], before: [],
      x: at.x + place.x, y: at.y + place.y, width: item.width, height: item.height,
    };
    entry.index = this.entries.push(entry) - 1;
    element.dataset.entry = entry.index;
    element.id = `entry-${entry.index}`;
    element.setAttribute("role", "treeitem");
    element.setAttribute("aria-level", at.level + 1);
    element.setAttribute("aria-label", [item.title, ...item.lines?.map(({ text }) => text) ?? []].join(", "));
    if (item.toggle) element.setAttribute("aria-expanded", item.type === "frame");
    if (item.path) element.dataset.path = item.path;
    item.stands?.forEach((path) => this.standing.set(path, entry));
    parent.append(element);
    if (item.type === "frame") this.frame(entry, at);
    else this.box(entry);
    return entry;
  }

  fill(item) {
    if (item.type === "terminal" || this.color === "category") return this.palette.categories[item.category].fill;
    return mix(...this.palette.costs, costShare(item.cost[this.color], this.greatest));
  }

  box({ item, element }) {
    const tone = this.palette.categories[item.category];
    const byCategory = this.color === "category" || item.type === "terminal";
    const paint = { fill: this.fill(item), stroke: byCategory ? tone.line : this.palette.clusters[2].line };
    const shape = { width: item.width, height: item.height, rx: item.type === "terminal" ? 12 : 7, ...paint };
    if (item.training) shape["stroke-dasharray"] = "4 3";
    this.outline(element, shape, item.copies);
    const text = item.type === "terminal" ? this.palette.background : this.palette.text;
    const middle = item.width / 2;
    element.append(svgElement("text", {
      x: middle, y: item.type === "terminal" ? 16.5 : 18.5, "text-anchor": "middle", "font-weight": "bold",
      "font-size": SIZE.title, fill: text,
    }, item.title));
    item.rows.forEach((row, number) => {
      const y = 18.5 + SIZE.row * (number + 1);
      const start = middle - row.width / 2;
      row.parts.forEach((part, i) => {
        if (i) element.append(this.line(start + part.x - textWidth("· ", SIZE.line), y, "·"));
        const line = this.line(start + part.x, y, part.text);
        if (part.path) line.dataset.path = part.path;
        element.append(line);
      });
    });
    if (item.toggle) element.append(this.chevron(item, tone.line));
  }

  // A rectangle, with the edges of others behind it where it stands for copies.
  outline(element, shape, copies) {
    for (const shift of copies > 2 ? [6, 3] : copies > 1 ? [3] : []) {
      element.append(svgElement("rect", { ...shape, x: shift, y: shift }));
    }
    element.append(svgElement("rect", { ...shape, class: "outline" }));
  }

  line(x, y, text) {
    const fill = this.palette.muted;
    return svgElement("text", { x: round(x), y, "font-size": SIZE.line, fill }, text);
  }

  // The mark that opens and closes, with room for a finger.
  chevron(item, color) {
    const open = item.type === "frame";
    const mark = svgElement("g", {
      class: "toggle", transform: `translate(${open ? 15 : item.width - 15} ${open ? 15 : 14})`,
    });
    mark.append(
      svgElement("rect", { x: -14, y: -14, width: 28, height: 28, fill: "transparent" }),
      svgElement("path", {
        d: open ? "M-4,-2 L0,2.5 L4,-2" : "M-2,-4 L2.5,0 L-2,4", fill: "none", stroke: color, "stroke-width": 1.8,
        "stroke-linecap": "round", "stroke-linejoin": "round",
      }),
    );
    return mark;
  }

  frame(entry, at) {
    const { item, element } = entry;
    const tone = this.palette.clusters[Math.min(at.level, this.palette.clusters.length - 1)];
    const shape = { width: item.width, height: item.height, rx: 9, fill: tone.fill, stroke: tone.line };
    if (item.training) shape["stroke-dasharray"] = "4 3";
    this.outline(element, shape, item.toggle.endsWith("*") ? item.copies : 1);
    const inner = svgElement("g", { transform: `translate(${round(item.offsetX)} 0)` });
    element.append(inner);
    const inside = this.group(item.group.items, item.layout, inner, {
      x: entry.x + item.offsetX, y: entry.y, level: at.level + 1, parent: entry,
    });
    const ports = (side) => {
      const found = inside.filter((other) => isPort(other.item, side));
      return new Map(found.map((other) => [other.item.number, other]));
    };
    Object.assign(entry, { ins: ports("in"), outs: ports("out") });
    const rim = { stroke: tone.fill, "stroke-width": 4, "stroke-linejoin": "round", "paint-order": "stroke" };
    element.append(this.chevron(item, tone.line), svgElement("text", {
      x: SIZE.words, y: 19.5, "font-size": SIZE.title, "font-weight": "bold", fill: this.palette.text, ...rim,
    }, item.title));
    if (item.text) {
      const look = { x: SIZE.words, y: 35, "font-size": SIZE.line, fill: this.palette.muted, ...rim };
      element.append(svgElement("text", look, item.text));
    }
  }

  edge(edge, target, parent) {
    const color = this.palette.edges[edge.kind];
    if (edge.kind !== "main") this.kinds.add(edge.kind);
    const points = edge.points.map(([x, y]) => [x, y]);
    const arrow = target.type !== "port" && !target.inXs?.size;
    const [endX, endY] = points[points.length - 1];
    if (arrow) points[points.length - 1][1] -= 6;
    const attributes = { d: curve(points), stroke: color, "stroke-width": edge.kind === "main" ? 1.2 : 1.6 };
    if (edge.kind === "auxiliary") attributes["stroke-dasharray"] = "4 3";
    parent.append(svgElement("path", attributes));
    if (arrow) {
      const d = `M${round(endX)},${round(endY)} l-3.2,-7 h6.4 Z`;
      parent.append(svgElement("path", { d, fill: color }));
    }
    if (edge.label) {
      parent.append(svgElement("text", {
        x: round(edge.at[0]), y: round(edge.at[1] + 3.6), "font-size": SIZE.label, fill: this.palette.muted,
      }, edge.label));
    }
  }

  // Pairs of boxes or terminals that a tensor leads between, through the borders of frames.
  tensors() {
    const ends = (entry) => (entry.item.type === "port" ? entry.after.flatMap(ends) : [entry]);
    const pairs = (entry) => entry.after.flatMap(ends).map((other) => [entry, other]);
    return this.entries.filter(({ ins }) => !ins).flatMap(pairs);
  }

  // The entry that comes before or after another along its first edge. On the way is the frame that is entered or left.
  neighbor(entry, side) {
    const [first] = entry.ins?.values() ?? [entry];
    let found = first?.[side][0];
    while (found?.item.type === "port") {
      if (found.item.side === "in") return found.parent;
      found = found[side][0];
    }
    return found ?? entry.parent;
  }

  categories() {
    return [...new Set(this.boxes.map((item) => item.category))];
  }
}

const round = (number) => Math.round(number * 10) / 10;

// A line through points that leaves and enters each of them upright.
function curve(points) {
  let d = `M${points[0].map(round)}`;
  for (let i = 1; i < points.length; i += 1) {
    const [[x, y], [nextX, nextY]] = [points[i - 1], points[i]];
    const middle = round((y + nextY) / 2);
    d += Math.abs(x - nextX) < 0.5
      ? ` L${round(nextX)},${round(nextY)}`
      : ` C${round(x)},${middle} ${round(nextX)},${middle} ${round(nextX)},${round(nextY)}`;
  }
  return d;
}

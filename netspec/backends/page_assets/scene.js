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
    parent.append(edges);
    const entries = items.map((item, i) => this.item(item, layout.places[i], parent, at));
    for (const edge of layout.edges) this.edge(edge, items, entries, edges);
  }

  item(item, place, parent, at) {
    if (item.type === "port") return { item, port: true, after: [], before: [], parent: at.parent };
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
    for (const shift of item.copies > 2 ? [6, 3] : item.copies > 1 ? [3] : []) {
      element.append(svgElement("rect", { ...shape, x: shift, y: shift }));
    }
    element.append(svgElement("rect", { ...shape, class: "outline" }));
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
        if (i) element.append(this.line(start + part.x - textWidth(" · ", SIZE.line), y, " · "));
        const line = this.line(start + part.x, y, part.text);
        if (part.path) line.dataset.path = part.path;
        element.append(line);
      });
    });
    if (item.toggle) element.append(this.chevron(item, tone.line));
  }

  line(x, y, text) {
    const fill = this.palette.muted;
    return svgElement("text", { x: round(x), y, "font-size": SIZE.line, fill, "xml:space": "preserve" }, text);
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
    if (item.toggle.endsWith("*")) shape["stroke-dasharray"] = "5 3";
    element.append(svgElement("rect", { ...shape, class: "outline" }));
    const inner = svgElement("g", { transform: `translate(${round(item.offsetX)} ${item.offsetY})` });
    element.append(inner);
    this.group(item.group.items, item.layout, inner, {
      x: entry.x + item.offsetX, y: entry.y + item.offsetY, level: at.level + 1, parent: entry,
    });
    const rim = { stroke: tone.fill, "stroke-width": 4, "stroke-linejoin": "round", "paint-order": "stroke" };
    element.append(this.chevron(item, tone.line), svgElement("text", {
      x: 27, y: 19.5, "font-size": SIZE.title, "font-weight": "bold", fill: this.palette.text, ...rim,
    }, item.title));
    if (item.text) {
      element.append(svgElement("text", { x: 27, y: 35, "font-size": SIZE.line, fill: this.palette.muted, ...rim }, item.text));
    }
  }

  edge(edge, items, entries, parent) {
    const color = this.palette.edges[edge.kind];
    if (edge.kind !== "main") this.kinds.add(edge.kind);
    const [target, points] = [items[edge.target], edge.points.map(([x, y]) => [x, y])];
    const arrow = target.type !== "port" && !(target.inXs?.length);
    const [endX, endY] = points[points.length - 1];
    if (arrow) points[points.length - 1][1] -= 6;
    const attributes = { d: curve(points), stroke: color, "stroke-width": edge.kind === "main" ? 1.2 : 1.6 };
    if (edge.kind === "auxiliary") attributes["stroke-dasharray"] = "4 3";
    parent.append(svgElement("path", attributes));
    if (arrow) {
      const d = `M${round(endX - 3.2)},${round(endY - 7)} L${round(endX)},${round(endY)} L${round(endX + 3.2)},${round(endY - 7)} Z`;
      parent.append(svgElement("path", { d, fill: color }));
    }
    if (edge.label) {
      parent.append(svgElement("text", {
        x: round(edge.at[0]), y: round(edge.at[1] + 3.6), "font-size": SIZE.label, fill: this.palette.muted,
      }, edge.label));
    }
    entries[edge.source].after.push(entries[edge.target]);
    entries[edge.target].before.push(entries[edge.source]);
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

"use strict";
// Which part of the picture is seen: zoom and pan by wheel, mouse, fingers and keys.

const ZOOM = { least: 0.05, most: 3, step: 1.25 };
const READABLE = 0.9; // the scale at which all letters can be read
const CLICK = 4; // pixels that a pointer may move in a click

class View {
  constructor(svg, layer) {
    Object.assign(this, { svg, layer, x: 0, y: 0, scale: 1, pointers: new Map(), moved: 0, timer: 0 });
    svg.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    svg.addEventListener("pointerdown", (event) => this.down(event));
    svg.addEventListener("pointermove", (event) => this.move(event));
    for (const name of ["pointerup", "pointercancel", "pointerleave"]) {
      svg.addEventListener(name, (event) => this.pointers.delete(event.pointerId));
    }
  }

  get size() {
    return { width: this.svg.clientWidth, height: this.svg.clientHeight };
  }

  set(x, y, scale) {
    Object.assign(this, { x, y, scale });
    this.layer.setAttribute("transform", `translate(${round(x)} ${round(y)}) scale(${scale.toFixed(4)})`);
  }

  wheel(event) {
    event.preventDefault();
    cancelAnimationFrame(this.timer);
    const unit = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
    if (event.ctrlKey || event.metaKey) {
      const box = this.svg.getBoundingClientRect();
      this.zoom(Math.exp(-event.deltaY * unit * 0.006), event.clientX - box.left, event.clientY - box.top);
    } else {
      this.set(this.x - event.deltaX * unit, this.y - event.deltaY * unit, this.scale);
    }
  }

  zoom(factor, x = this.size.width / 2, y = this.size.height / 2) {
    const scale = Math.min(ZOOM.most, Math.max(ZOOM.least, this.scale * factor));
    const share = scale / this.scale;
    this.set(x - (x - this.x) * share, y - (y - this.y) * share, scale);
  }

  down(event) {
    if (event.button) return;
    cancelAnimationFrame(this.timer);
    this.pointers.set(event.pointerId, [event.clientX, event.clientY]);
    this.moved = 0;
  }

  move(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const now = [event.clientX, event.clientY];
    const [dx, dy] = [now[0] - before[0], now[1] - before[1]];
    const other = [...this.pointers].find(([id]) => id !== event.pointerId)?.[1];
    this.pointers.set(event.pointerId, now);
    this.moved += Math.hypot(dx, dy);
    if (this.moved > CLICK) this.svg.setPointerCapture(event.pointerId);
    if (other) {
      const box = this.svg.getBoundingClientRect();
      const apart = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]) || 1;
      this.zoom(apart(now) / apart(before), (now[0] + other[0]) / 2 - box.left, (now[1] + other[1]) / 2 - box.top);
    } else {
      this.set(this.x + dx, this.y + dy, this.scale);
    }
  }

  // Whether the pointer that is just lifted moved the picture.
  get dragged() {
    return this.moved > CLICK;
  }

  // The scale at which the whole picture is seen.
  whole(scene, room) {
    const { width, height } = this.size;
    const free = { width: width - room.left - room.right, height: height - room.top - room.bottom };
    return Math.min(free.width / scene.width, free.height / scene.height, 1.25);
  }

  // Show the whole picture; with `readable`, at least its top in letters that can be read.
  fit(scene, room, readable = false) {
    const scale = this.whole(scene, room);
    const { width, height } = this.size;
    const shown = readable ? Math.max(scale, READABLE) : scale;
    const middle = room.left + (width - room.left - room.right) / 2;
    const first = scene.entries.find(({ item }) => item.type === "terminal");
    const wide = scene.width * shown > width - room.left - room.right;
    const center = wide && first ? first.x + first.width / 2 : scene.width / 2;
    const free = height - room.top - room.bottom - scene.height * shown;
    this.set(middle - center * shown, room.top + Math.max(0, free / 2), shown);
  }

  // Bring a part of the picture into sight, with the least motion.
  reveal({ x, y, width, height }, room) {
    const { width: w, height: h } = this.size;
    const along = (start, length, shift, near, far) => {
      const [from, to] = [start * this.scale + shift, (start + length) * this.scale + shift];
      if (to - from > far - near) return from < near || from > far ? near - from : 0;
      return from < near ? near - from : to > far ? far - to : 0;
    };
    const dx = along(x, width, this.x, room.left, w - room.right);
    const dy = along(y, height, this.y, room.top, h - room.bottom);
    if (dx || dy) this.glide(this.x + dx, this.y + dy);
  }

  glide(x, y) {
    cancelAnimationFrame(this.timer);
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) {
      this.set(x, y, this.scale);
      return;
    }
    const [startX, startY, start] = [this.x, this.y, performance.now()];
    const step = (now) => {
      const t = Math.min(1, (now - start) / 180);
      const eased = 1 - (1 - t) ** 3;
      this.set(startX + (x - startX) * eased, startY + (y - startY) * eased, this.scale);
      if (t < 1) this.timer = requestAnimationFrame(step);
    };
    this.timer = requestAnimationFrame(step);
  }
}

"use strict";
// What the reader does, and what the page does then. All state is here: what is open, what is selected, colors.

const LARGEST = 1500; // boxes that "open one level more" may bring on
const RESULTS = 50;
const EDGE = 26; // pixels of air around the picture

const $ = (id) => document.getElementById(id);

class Page {
  constructor(network) {
    const dark = matchMedia("(prefers-color-scheme: dark)");
    Object.assign(this, {
      network, layouts: new Layouts(), open: new Set(network.open), selected: null, color: "category",
      theme: dark.matches ? "dark" : "light", view: new View($("picture"), $("layer")),
    });
    dark.addEventListener("change", () => this.paint(dark.matches ? "dark" : "light"));
    document.querySelector("h1").append(network.name, html("span", {}, network.subtitle[0]));
    document.querySelector("#heading p").textContent = network.subtitle[1];
    $("heading").title = network.about;
    this.listen();
    this.paint(this.theme);
    if (!this.follow()) this.view.fit(this.scene, this.room, true);
  }

  // Drawing ---------------------------------------------------------------------------------------------------------

  draw(fresh = false) {
    const plan = new Planner(this.network, this.open).whole();
    this.scene = new Scene(plan, this.layouts.group(plan), this.network.palettes[this.theme], this.color);
    if (fresh) this.scene.root.classList.add("fresh");
    $("layer").replaceChildren(this.scene.root);
    this.mark();
    this.legend();
  }

  paint(theme) {
    this.theme = theme;
    const palette = this.network.palettes[theme];
    const style = document.documentElement.style;
    const colors = {
      background: palette.background, text: palette.text, muted: palette.muted, accent: palette.accent,
      surface: palette.clusters[0].fill, rim: mix(palette.clusters[0].fill, palette.clusters[0].line, 0.7),
      veil: palette.background + "e6", mark: mix(palette.background, palette.accent, 0.14),
      key: palette.categories.convolution.line,
    };
    for (const [name, value] of Object.entries(colors)) style.setProperty(`--${name}`, value);
    style.colorScheme = document.documentElement.dataset.theme = theme;
    this.draw();
  }

  legendRows() {
    const { palette, kinds } = this.scene;
    const rows = this.color === "category"
      ? this.scene.categories().map((name) => ({ name, ...palette.categories[name] }))
      : [0, 0.25, 1].map((share) => ({
          name: COSTS[this.color].show(Math.round(this.scene.greatest * share)),
          fill: mix(...palette.costs, Math.sqrt(share)), line: palette.clusters[2].line,
        }));
    return { rows, edges: Object.keys(EDGE_NAMES).filter((kind) => kinds.has(kind)) };
  }

  legend() {
    const { palette } = this.scene;
    const { rows, edges } = this.legendRows();
    const line = (swatch, name) => html("div", {}, swatch, name);
    const swatch = (style, kind = "") => styled(html("i", { class: kind }), style);
    const content = this.color === "category"
      ? rows.map(({ name, fill, line: border }) => line(swatch({ background: fill, borderColor: border }), name))
      : [
          html("div", {}, `${COSTS[this.color].name} of a box`),
          styled(html("div", { class: "scale" }), { background: `linear-gradient(90deg, ${palette.costs.join()})` }),
          html("div", { class: "ticks" }, ...rows.map(({ name }) => html("span", {}, name))),
        ];
    for (const kind of edges) {
      const look = { borderColor: palette.edges[kind], borderTopStyle: kind === "auxiliary" ? "dashed" : "solid" };
      content.push(line(swatch(look, "edge"), EDGE_NAMES[kind]));
    }
    $("legend").replaceChildren(...content);
  }

  // The margins that the panel and the edges of the window leave around the picture.
  get room() {
    const panel = $("panel");
    const wide = innerWidth > 760;
    return {
      left: EDGE, top: EDGE,
      right: EDGE + (panel.hidden || !wide ? 0 : panel.offsetWidth),
      bottom: EDGE + (panel.hidden || wide ? 0 : panel.offsetHeight),
    };
  }

  // Opening ---------------------------------------------------------------------------------------------------------

  // Open or close what an entry shows, and keep its title where it is on the screen.
  toggle(entry) {
    const { toggle, type, path } = entry.item;
    if (!toggle) return;
    const opened = type !== "frame";
    const anchor = this.anchor(toggle);
    if (opened) this.openAt(toggle);
    else this.open.delete(toggle);
    if (path && !(opened && this.selected)) this.selected = path;
    this.draw(true);
    this.hold(toggle, anchor);
    const now = this.entryOf(toggle);
    if (opened && now) this.view.reveal(now, this.room);
    this.select(this.selected ?? path, { reveal: false });
  }

  // Open a key, and what is in it as long as that is a single fold or block.
  openAt(key) {
    this.open.add(key);
    const fold = key.endsWith("*");
    const body = fold ? null : this.network.inside(this.network.route(key).at(-1).node);
    const sole = body?.folds.length === 1 && body.folds[0].units.length > 1;
    if (sole) this.open.add(foldKey(`${key}.`, body, body.folds[0]));
  }

  entryOf(toggle) {
    return this.scene.entries.find(({ item }) => item.toggle === toggle);
  }

  anchor(toggle) {
    const entry = this.entryOf(toggle);
    return entry && [entry.x + entry.item.inX, entry.y];
  }

  hold(toggle, before) {
    const now = this.anchor(toggle);
    if (!before || !now) return;
    const { x, y, scale } = this.view;
    this.view.set(x + (before[0] - now[0]) * scale, y + (before[1] - now[1]) * scale, scale);
  }

  openMore() {
    const closed = this.scene.entries.filter(({ item }) => item.type === "box" && item.toggle);
    if (this.scene.entries.length + closed.reduce((sum, { item }) => sum + item.within, 0) > LARGEST) {
      this.note(`more than ${LARGEST.toLocaleString("en")} boxes: open blocks one by one`);
      return;
    }
    closed.forEach(({ item }) => this.openAt(item.toggle));
    this.redraw();
  }

  // Say something for a few seconds.
  note(text) {
    clearTimeout(this.noted);
    $("note").textContent = text;
    $("note").hidden = false;
    this.noted = setTimeout(() => ($("note").hidden = true), 4000);
  }

  closeAll() {
    this.open.clear();
    this.redraw();
  }

  redraw() {
    this.draw(true);
    this.view.fit(this.scene, this.room);
    if (this.selected) this.select(this.selected, { reveal: false });
  }

  // Open the way to a path. Returns whether there is such a node.
  openTo(path) {
    const route = this.network.route(path);
    for (const { prefix, body, place, path: station, node } of route) {
      const fold = body.folds.find(({ units }) => units.some((unit) => unit.includes(place)));
      if (fold.units.length > 1) this.open.add(foldKey(prefix, body, fold));
      if (station !== path && this.network.opens(node)) this.open.add(station);
    }
    return route.length > 0;
  }

  // Selecting -------------------------------------------------------------------------------------------------------

  // Select the node at a path, or nothing. What is closed around it opens.
  select(path, { reveal = true } = {}) {
    if (!path || !this.network.route(path).length) {
      this.selected = null;
      $("panel").hidden = true;
      document.body.classList.remove("with-panel");
      this.address("");
      this.mark();
      return;
    }
    if (!this.scene.standing.has(path)) {
      this.openTo(path);
      this.draw(true);
    }
    this.selected = path;
    $("panel").hidden = false;
    document.body.classList.add("with-panel");
    $("details").replaceChildren(...details(this.network, path, (other) => this.select(other)));
    $("panel").scrollTop = 0;
    this.address(path);
    this.mark();
    const entry = this.current;
    if (reveal && entry) this.view.reveal(entry, this.room);
  }

  get current() {
    return this.selected ? this.scene.standing.get(this.selected) : undefined;
  }

  mark() {
    for (const element of this.scene.root.querySelectorAll(".selected, .chosen")) {
      element.classList.remove("selected", "chosen");
      element.removeAttribute("aria-selected");
    }
    const entry = this.current ?? this.focused;
    $("picture").removeAttribute("aria-activedescendant");
    if (!entry?.element?.isConnected) return;
    entry.element.classList.add("selected");
    entry.element.setAttribute("aria-selected", "true");
    $("picture").setAttribute("aria-activedescendant", entry.element.id);
    for (const line of entry.element.querySelectorAll(":scope > text[data-path]")) {
      line.classList.toggle("chosen", line.dataset.path === this.selected);
    }
  }

  address(path) {
    const fragment = path ? `#${encodeURIComponent(path)}` : "";
    if (location.hash !== fragment) history.replaceState(null, "", fragment || location.pathname + location.search);
  }

  // Go to what the address names. Returns whether it names a node.
  follow() {
    let path = location.hash.slice(1);
    try {
      path = decodeURIComponent(path);
    } catch {
      return false; // a stray % in a link names nothing
    }
    if (!path || !this.openTo(path)) return false;
    this.draw();
    this.select(path, { reveal: false });
    this.center();
    return true;
  }

  // Show what is selected in its surroundings, in letters that can be read.
  center() {
    const { scene, view, room } = this;
    const { x, y, width, height } = this.current;
    const scale = Math.max(view.whole(scene, room), 1);
    const middle = (start, length, total, near, far) => {
      if (total * scale <= far - near) return (near + far - total * scale) / 2;
      const centered = (near + far) / 2 - (start + length / 2) * scale;
      const wished = length * scale > far - near ? near - start * scale : centered;
      return Math.min(near, Math.max(far - total * scale, wished));
    };
    view.set(
      middle(x, width, scene.width, room.left, view.size.width - room.right),
      middle(y, height, scene.height, room.top, view.size.height - room.bottom),
      scale,
    );
  }

  // Moving the selection --------------------------------------------------------------------------------------------

  // Select an entry; a terminal, which is no node, only takes the mark.
  go(entry) {
    if (!entry) return false;
    this.focused = entry;
    if (entry.item.path) this.select(entry.item.path);
    else {
      this.select(null);
      this.view.reveal(entry, this.room);
    }
    return true;
  }

  // The nearest entry beside one.
  beside(entry, sign) {
    const middle = (other) => [other.x + other.width / 2, other.y + other.height / 2];
    const [x, y] = middle(entry);
    let best = null;
    for (const other of this.scene.entries) {
      if (other === entry || other.item.type === "frame") continue;
      const [otherX, otherY] = middle(other);
      const [dx, dy] = [(otherX - x) * sign, Math.abs(otherY - y)];
      if (dx < 10 || dy > dx * 1.5) continue;
      const far = dx + 2 * dy;
      if (!best || far < best.far) best = { far, other };
    }
    return best?.other;
  }

  key(event) {
    const { key } = event;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const entry = this.current ?? this.focused;
    const first = this.scene.entries[0];
    const moves = {
      ArrowDown: () => this.go(entry ? this.scene.neighbor(entry, "after") : first),
      ArrowUp: () => this.go(entry ? this.scene.neighbor(entry, "before") : first),
      ArrowLeft: () => this.go(entry ? this.beside(entry, -1) : first),
      ArrowRight: () => this.go(entry ? this.beside(entry, 1) : first),
      Tab: () => this.go(entry ? this.scene.entries[entry.index + (event.shiftKey ? -1 : 1)] : null),
      Enter: () => entry && (this.toggle(entry), true),
      " ": () => entry && (this.toggle(entry), true),
      Backspace: () => this.go(entry?.parent),
    };
    if (document.activeElement === $("picture") && moves[key]) {
      const acted = moves[key]();
      if (acted || key !== "Tab") event.preventDefault();
    }
  }

  shortcut(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || $("help").open) return;
    if (event.key === "Escape") {
      this.focused = null;
      this.select(null);
      return;
    }
    if (/^(input|select|textarea)$/i.test(event.target.tagName)) return;
    const act = {
      "/": () => $("search").focus(),
      f: () => this.view.fit(this.scene, this.room),
      d: () => this.paint(this.theme === "dark" ? "light" : "dark"),
      "?": () => $("help").showModal(),
      "+": () => this.openMore(),
      "-": () => this.closeAll(),
    }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  // Searching -------------------------------------------------------------------------------------------------------

  search() {
    const text = $("search").value;
    this.found = this.network.search(text, RESULTS);
    this.chosen = 0;
    const items = this.found.map(([path, node], i) => {
      const item = html("li", { role: "option", id: `result-${i}` }, path, html("span", {}, this.network.words(node)));
      item.addEventListener("pointerdown", (event) => {
        event.preventDefault();
        this.take(i);
      });
      return item;
    });
    if (!items.length) items.push(html("li", { class: "none" }, "nothing found"));
    $("results").replaceChildren(...items);
    this.showResults(Boolean(text.trim()));
  }

  showResults(shown) {
    $("results").hidden = !shown;
    $("search").setAttribute("aria-expanded", shown);
    const options = [...$("results").querySelectorAll("[role=option]")];
    options.forEach((option, i) => option.setAttribute("aria-selected", i === this.chosen));
    if (shown && options.length) $("search").setAttribute("aria-activedescendant", `result-${this.chosen}`);
    else $("search").removeAttribute("aria-activedescendant");
    options[this.chosen]?.scrollIntoView({ block: "nearest" });
  }

  take(i) {
    const found = this.found[i];
    if (!found) return;
    this.showResults(false);
    this.select(found[0], { reveal: false });
    this.center();
    $("picture").focus({ preventScroll: true });
  }

  searchKey(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && this.found?.length) {
      this.chosen = (this.chosen + step + this.found.length) % this.found.length;
      this.showResults(true);
    } else if (event.key === "Enter") this.take(this.chosen);
    else if (event.key === "Escape") {
      $("search").value = "";
      this.showResults(false);
      $("picture").focus({ preventScroll: true });
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  // Keeping ---------------------------------------------------------------------------------------------------------

  // What the reader sees, for the page of another version of the network to `restore`.
  get state() {
    const before = new Set(this.network.open);
    const { x, y, scale } = this.view;
    return {
      opened: [...this.open].filter((key) => !before.has(key)), closed: [...before].filter((key) => !this.open.has(key)),
      selected: this.selected, color: this.color, theme: this.theme, view: { x, y, scale }, held: this.held,
      scrolled: $("panel").scrollTop, active: document.activeElement === $("picture"),
    };
  }

  // The key and the place of the entry that is to stay where it is: what is selected, or stands in the middle.
  get held() {
    const { x, y, scale, size } = this.view;
    const middle = (entry) => [entry.x + entry.width / 2, entry.y + entry.height / 2];
    const far = (entry) => {
      const [centerX, centerY] = middle(entry);
      return Math.hypot(centerX * scale + x - size.width / 2, centerY * scale + y - size.height / 2);
    };
    const boxes = this.scene.entries.filter(({ item }) => item.type !== "frame");
    const entry = this.current ?? boxes.reduce((best, other) => (far(other) < far(best) ? other : best), boxes[0]);
    return entry && { key: entry.item.key, x: entry.x + entry.width / 2, y: entry.y };
  }

  restore({ opened, closed, selected, color, theme, view: { x, y, scale }, held, scrolled, active }) {
    this.open = new Set([...this.network.open.filter((key) => !closed.includes(key)), ...opened]);
    this.color = $("color").value = color;
    this.paint(theme);
    this.select(selected, { reveal: false });
    const now = this.scene.entries.find(({ item }) => item.key === held?.key);
    const [dx, dy] = now ? [held.x - now.x - now.width / 2, held.y - now.y] : [0, 0];
    this.view.set(x + dx * scale, y + dy * scale, scale);
    $("panel").scrollTop = scrolled;
    if (active) $("picture").focus({ preventScroll: true });
  }

  // Listening -------------------------------------------------------------------------------------------------------

  listen() {
    const picture = $("picture");
    picture.addEventListener("click", (event) => this.click(event));
    picture.addEventListener("dblclick", (event) => {
      const entry = this.at(event.target);
      if (entry && !event.target.closest(".toggle")) this.toggle(entry);
    });
    picture.addEventListener("keydown", (event) => this.key(event));
    picture.addEventListener("pointermove", (event) => this.tip(event));
    picture.addEventListener("pointerleave", () => ($("tip").hidden = true));
    document.addEventListener("keydown", (event) => this.shortcut(event));
    addEventListener("hashchange", () => this.follow());
    $("search").addEventListener("input", () => this.search());
    $("search").addEventListener("keydown", (event) => this.searchKey(event));
    $("search").addEventListener("blur", () => this.showResults(false));
    $("color").addEventListener("change", (event) => {
      this.color = event.target.value;
      this.draw();
    });
    const drawn = () => pictureOf(this.scene, this.network, this.legendRows());
    const buttons = {
      more: () => this.openMore(),
      less: () => this.closeAll(),
      fit: () => this.view.fit(this.scene, this.room),
      svg: () => saveSvg(drawn(), this.network.name),
      png: () => savePng(drawn(), this.network.name),
      theme: () => this.paint(this.theme === "dark" ? "light" : "dark"),
      question: () => $("help").showModal(),
      close: () => this.select(null),
      in: () => this.view.zoom(ZOOM.step),
      out: () => this.view.zoom(1 / ZOOM.step),
    };
    for (const [id, act] of Object.entries(buttons)) $(id).addEventListener("click", act);
  }

  at(target) {
    const element = target.closest("[data-entry]");
    return element ? this.scene.entries[element.dataset.entry] : null;
  }

  click(event) {
    if (this.view.dragged) return;
    const entry = this.at(event.target);
    if (entry && event.target.closest(".toggle")) this.toggle(entry);
    else if (entry) {
      this.focused = entry;
      this.select(event.target.closest("text[data-path]")?.dataset.path ?? entry.item.path, { reveal: false });
    } else this.select(null);
  }

  tip(event) {
    const tip = $("tip");
    const busy = event.buttons || event.pointerType === "touch";
    const path = busy ? null : event.target.closest("[data-path]")?.dataset.path;
    tip.hidden = !path;
    if (!path) return;
    if (tip.dataset.path !== path) {
      const [first, ...others] = describe(this.network, path);
      tip.replaceChildren(html("b", {}, first), ...others.map((text) => html("div", {}, text)));
      tip.dataset.path = path;
    }
    const box = $("picture").getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    tip.style.left = `${x + 16 + tip.offsetWidth > box.width ? x - tip.offsetWidth - 10 : x + 16}px`;
    tip.style.top = `${y + 16 + tip.offsetHeight > box.height ? y - tip.offsetHeight - 10 : y + 16}px`;
  }
}

function styled(element, style) {
  Object.assign(element.style, style);
  return element;
}

window.page = new Page(new Network(JSON.parse($("data").textContent)));

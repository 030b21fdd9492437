// Draws each table with curves by uPlot, and chooses threshold and policy for other prices, as report/business does.
// Names come from the data, so they are only ever set as text.
(() => {
  const COLORS = "#0072B2 #D55E00 #009E73 #CC79A7 #E69F00 #56B4E9 #000000 #8C6D31 #B8A800 #777777".split(" ");
  const HEIGHT = 340;
  const find = (id) => document.getElementById(id);
  const digits = (value) =>
    value == null ? "–" : Number(value.toPrecision(4)).toLocaleString("en", { maximumSignificantDigits: 4 });

  // --- Charts ------------------------------------------------------------------------------------------------------------

  function columns(table) {
    const number = (cell) => (cell.textContent.trim() === "–" ? null : Number.parseFloat(cell.textContent.replaceAll(",", "")));
    const heads = Array.from(table.tHead.rows[0].cells);
    const shown = heads.map((head, place) => [head, place]).filter(([head]) => !("hidden" in head.dataset));
    const rows = Array.from(table.tBodies[0].rows);
    return shown.map(([head, place]) => ({ name: head.textContent, values: rows.map((row) => number(row.cells[place])) }));
  }

  function draw(table) {
    const [across, ...curves] = columns(table);
    const { vertical, logarithmic = "" } = table.dataset;
    const box = document.createElement("div");
    box.className = "chart";
    box.setAttribute("aria-hidden", "true"); // its table says the same
    table.closest("details").before(box);
    const width = () => box.clientWidth - 20;
    const scale = (axis) => (logarithmic.includes(axis) ? { distr: 3 } : {});
    const title = (label) => ({
      label,
      stroke: "#1d242b",
      values: (_, ticks) => ticks.map((tick) => (tick == null ? "" : digits(tick))),
    });
    const chart = new uPlot(
      {
        width: width(),
        height: HEIGHT,
        scales: { x: { time: false, ...scale("x"), log: 2 }, y: scale("y") },
        axes: [title(across.name), { ...title(vertical), size: 64 }],
        series: [
          { label: across.name, value: (_, value) => digits(value) },
          ...curves.map(({ name, values }, place) => ({
            label: name,
            stroke: COLORS[place % COLORS.length],
            width: 2,
            spanGaps: true,
            points: { show: values.length < 40 || name === "chosen", size: name === "chosen" ? 12 : 6 },
            value: (_, value) => digits(value),
          })),
        ],
      },
      [across.values, ...curves.map(({ values }) => values)],
      box,
    );
    new ResizeObserver(() => chart.setSize({ width: width(), height: HEIGHT })).observe(box);
    return chart;
  }

  // --- Prices ------------------------------------------------------------------------------------------------------------

  const IMAGES = 1000; // amounts are per 1,000 images
  const DRAWS = 4000; // as in report/business
  const POINTS = 200; // of the curve: more cannot be seen

  function unpacked([confidence, wrong]) {
    const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const made = { confidence: new Float64Array(bytes(confidence).buffer), wrong: [0] };
    for (const one of bytes(wrong)) made.wrong.push(made.wrong.at(-1) + one); // among the most confident
    return made;
  }

  // Return how many predictions are at least this confident; they are sorted by falling confidence.
  function automated({ confidence }, threshold) {
    let [low, high] = [0, confidence.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (confidence[middle] >= threshold) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  // Return a random number of a gamma distribution: Marsaglia and Tsang (2000), "A simple method for generating gamma variables".
  function gamma(shape, random) {
    if (shape < 1) return gamma(shape + 1, random) * random() ** (1 / shape);
    const base = shape - 1 / 3;
    for (;;) {
      const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
      const cube = (1 + normal / Math.sqrt(9 * base)) ** 3;
      if (cube > 0 && Math.log(1 - random()) < normal ** 2 / 2 + base * (1 - cube + Math.log(cube))) return base * cube;
    }
  }

  // Return numbers from 0 to 1 that are the same each time, so that an interval does not tremble: "mulberry32".
  function seeded() {
    let state = 1;
    return () => {
      state = (state + 0x6d2b79f5) | 0;
      let mixed = Math.imul(state ^ (state >>> 15), state | 1);
      mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
    };
  }

  // Return the mean gain of some kinds of images: their number, the gain of each, and whether the kind is possible.
  function mean(kinds) {
    const total = kinds.reduce((sum, [count]) => sum + count, 0);
    return (IMAGES * kinds.reduce((sum, [count, gain]) => sum + count * gain, 0)) / total;
  }

  // Return the mean gain with its interval, by the Bayesian bootstrap of report/business.
  function amount(kinds, paid = 0) {
    const possible = kinds.filter(([, , may]) => may);
    const random = seeded();
    const draws = Float64Array.from({ length: DRAWS }, () =>
      mean(possible.map(([count, gain]) => [gamma(count + 0.5, random), gain])),
    ).sort();
    const value = mean(kinds);
    const [low, high] = [0.025, 0.975].map((share) => draws[Math.round(share * (DRAWS - 1))]);
    return { value: value - paid, low: Math.min(low, value) - paid, high: Math.max(high, value) - paid };
  }

  function costsOf(values) {
    const stake = values.value_right + values.cost_wrong;
    return { ...values, stake, gain: values.cost_check + (1 - values.person_accuracy) * stake };
  }

  function split(part, costs, threshold) {
    const count = automated(part, threshold);
    const wrong = part.wrong[count];
    const some = threshold <= 1; // above, nothing can be automated
    const kinds = [
      [part.confidence.length - count, 0, threshold > 0],
      [count - wrong, costs.gain, some],
      [wrong, costs.gain - costs.stake, some],
    ];
    return { count, wrong, kinds, paid: IMAGES * costs.cost_prediction };
  }

  function saving(part, costs, threshold) {
    const { kinds, paid } = split(part, costs, threshold);
    return mean(kinds) - paid;
  }

  function overMachine(part, costs, threshold) {
    const { length } = part.confidence;
    const count = automated(part, threshold);
    const wrong = part.wrong[length] - part.wrong[count];
    const some = threshold > 0;
    return amount([
      [count, 0, threshold <= 1],
      [length - count - wrong, -costs.gain, some],
      [wrong, costs.stake - costs.gain, some],
    ]);
  }

  // Return the confidence of the least confident validation image that is worth automating: 0 for all, 2 for none.
  function chosenThreshold({ confidence, wrong }, { gain, stake, cost_check }) {
    const { length } = confidence;
    const gains = wrong.map((errors, count) => {
      const separable = count === 0 || count === length || confidence[count] !== confidence[count - 1];
      return separable ? gain * count - stake * errors : Number.NEGATIVE_INFINITY;
    });
    const best = gains.reduce((one, other) => Math.max(one, other)) - 1e-12 * (length + 1) * (cost_check + stake);
    const count = gains.findLastIndex((value) => value >= best);
    if (count === length) return 0;
    return count ? confidence[count - 1] : 2;
  }

  function planned(values, validation, test) {
    const costs = costsOf(values);
    const threshold = chosenThreshold(validation, costs);
    const policies = [
      ["person", 2],
      ["machine", 0],
      ["threshold", threshold],
    ];
    const worth = policies.map(([name, end]) => (name === "person" ? 0 : saving(validation, costs, end)));
    const [policy, end] = policies[worth.indexOf(Math.max(...worth))];
    const curve = Array.from({ length: POINTS + 1 }, (_, place) => {
      const last = test.confidence.length - 1;
      return test.confidence[Math.round((last * (POINTS - place)) / POINTS)];
    });
    const places = [...new Set(threshold <= 1 ? [...curve, threshold] : curve)].sort((one, other) => one - other);
    const { count, wrong, kinds, paid } = split(test, costs, end);
    return {
      policy,
      threshold,
      count,
      wrong,
      saving: policy === "person" ? { value: 0, low: 0, high: 0 } : amount(kinds, paid),
      over: overMachine(test, costs, end),
      curve: places.map((place) => [place, saving(test, costs, place)]),
    };
  }

  function startPrices(content) {
    const form = find("prices");
    const [validation, test] = [unpacked(content.validation), unpacked(content.test)];
    const names = Object.keys(content.costs);
    const slider = (name) => form.querySelector(`[data-of=${name}]`);
    const percent = (share) => `${(100 * share).toFixed(1)}%`;
    // amounts and thresholds have as many digits as in the text of the report
    const amountDigits = (value) => (Math.abs(value) < 99.995 ? 2 : 0);
    const thresholdDigits = (value) => (value < 1 ? Math.max(2, 1 - Math.floor(Math.log10(1 - value))) : 2);
    const signed = (text) => text.replace(/^-(?=[0.]+$)/, "").replace("-", "−");
    const price = (value) => signed(value.toFixed(amountDigits(value)));
    // intervals are approximations of those in the report, and agree with them to this digit
    const end = (value) => signed(value.toFixed(amountDigits(value) / 2));
    const money = ({ value, low, high }) => `${price(value)} ${content.unit} (95% interval ${end(low)} to ${end(high)})`;
    const table = find("curve");
    let chart;

    function fill(plan) {
      const lines = plan.curve.map(([place, worth]) => {
        const line = document.createElement("tr");
        for (const value of [place, worth, place === plan.threshold ? worth : null]) {
          line.append(
            Object.assign(document.createElement("td"), {
              className: "number",
              textContent: value === null ? "–" : value.toFixed(4),
            }),
          );
        }
        return line;
      });
      table.tBodies[0].replaceChildren(...lines);
    }

    function show(id, text, values = []) {
      find(id).textContent = text;
      find(id).dataset.values = values.join(" ");
    }

    function refresh() {
      const values = Object.fromEntries(names.map((name) => [name, form.elements[name].valueAsNumber]));
      if (!form.checkValidity() || values.cost_check === 0 || values.person_accuracy === 0) {
        show("policy", "Give a number for each price; a check and a person's accuracy are above 0");
        for (const id of ["automated", "accuracy", "saving", "over-machine"]) show(id, "–");
        return;
      }
      for (const name of names) slider(name).value = values[name];
      const plan = planned(values, validation, test);
      const { count, wrong } = plan;
      const below = plan.policy === "threshold" ? ` ${plan.threshold.toFixed(thresholdDigits(plan.threshold))}` : "";
      show("policy", `${content.policies[plan.policy]}${below}`, [plan.policy, plan.threshold]);
      show("automated", `${percent(count / test.confidence.length)}`, [count]);
      show("accuracy", count ? percent(1 - wrong / count) : "–", [wrong]);
      show("saving", money(plan.saving), [plan.saving.value, plan.saving.low, plan.saving.high]);
      show("over-machine", money(plan.over), [plan.over.value, plan.over.low, plan.over.high]);
      fill(plan);
      if (chart) chart.setData(columns(table).map((column) => column.values));
      else chart = draw(table);
    }

    function start(values) {
      for (const name of names) {
        const value = Number(values.get(name) ?? content.costs[name]);
        form.elements[name].value = value;
        slider(name).max = name === "person_accuracy" ? 1 : Math.max(4 * content.costs[name], value) || 1;
      }
      refresh();
    }

    form.addEventListener("input", (event) => {
      const name = event.target.dataset.of;
      if (name) form.elements[name].value = Number(event.target.valueAsNumber.toPrecision(3));
      refresh();
      const address = new URLSearchParams(names.map((one) => [one, form.elements[one].value]));
      history.replaceState(null, "", `#${address}`); // so that the prices can be sent
    });
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", () => {
      history.replaceState(null, "", "#value");
      setTimeout(() => start(new Map()));
    });
    for (const hidden of [form, find("outcome"), table.closest("details")]) hidden.hidden = false;
    start(new URLSearchParams(location.hash.slice(1)));
  }

  document.body.classList.add("live");
  const content = find("content");
  if (content) startPrices(JSON.parse(content.textContent));
  for (const table of document.querySelectorAll("table[data-vertical]:not(#curve)")) draw(table);
})();

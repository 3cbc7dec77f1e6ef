/* Replaces the page's static charts by charts that zoom and answer to the pointer. The page is whole without it: where there is no
 * mouse (a finger must be able to scroll past a chart), or no script may run, the static charts stay. */
(function () {
  "use strict";

  var element = document.getElementById("data");
  if (!element || typeof Dygraph !== "function" || !window.matchMedia("(hover: hover) and (pointer: fine)").matches) return;

  var data = JSON.parse(element.textContent);
  var GUTTER_PX = 56;
  var graphs = [];
  var moving = false;

  function colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
  }

  function three(value) {
    return String(parseFloat(value.toPrecision(3)));
  }

  function seconds(value) {
    var size = Math.abs(value);
    if (size === 0) return "0 s";
    if (size < 1e-3) return three(value * 1e6) + " us";
    if (size < 1) return three(value * 1e3) + " ms";
    return three(value) + " s";
  }

  function show(unit, value) {
    if (unit === "share") return three(value * 100) + " %";
    if (unit === "seconds") return seconds(value);
    return three(value) + (unit === "per_s" ? "/s" : "");
  }

  function region(context, area, graph, from, to, fill) {
    if (from === null || to === null) return;
    var left = Math.max(area.x, graph.toDomXCoord(from));
    var right = Math.min(area.x + area.w, graph.toDomXCoord(to));
    if (right < area.x || left > area.x + area.w) return;
    context.fillStyle = fill;
    context.fillRect(left, area.y, Math.max(right - left, 1), area.h);
  }

  function instant(context, area, graph, at, stroke, width, dash) {
    if (at === null) return;
    var x = graph.toDomXCoord(at);
    if (x < area.x || x > area.x + area.w) return;
    context.strokeStyle = stroke;
    context.lineWidth = width;
    context.setLineDash(dash);
    context.beginPath();
    context.moveTo(x, area.y);
    context.lineTo(x, area.y + area.h);
    context.stroke();
    context.setLineDash([]);
  }

  function band(context, area, graph, chart) {
    if (chart.level === null || chart.worst_ok === null) return;
    var a = graph.toDomYCoord(chart.level), b = graph.toDomYCoord(chart.worst_ok);
    context.fillStyle = colour("band");
    context.fillRect(area.x, Math.min(a, b), area.w, Math.max(Math.abs(a - b), 1));
    context.strokeStyle = colour("band-ink");
    context.lineWidth = 1;
    context.setLineDash([5, 4]);
    context.beginPath();
    context.moveTo(area.x, b);
    context.lineTo(area.x + area.w, b);
    context.stroke();
    context.setLineDash([]);
  }

  function underlay(chart) {
    return function (context, area, graph) {
      context.save();
      region(context, area, graph, data.baseline_start_s, data.baseline_end_s, colour("base"));
      data.faults.forEach(function (fault) {
        region(context, area, graph, fault[0], fault[1], colour("fault"));
      });
      region(context, area, graph, chart.converged_s, chart.validated_s, colour("hold"));
      band(context, area, graph, chart);
      instant(context, area, graph, chart.deviated_s, colour("bad"), 1.5, [3, 3]);
      instant(context, area, graph, chart.converged_s, colour("band-ink"), 2, []);
      context.restore();
    };
  }

  function follow(source) {
    if (moving) return;
    moving = true;
    var range = source.xAxisRange();
    graphs.forEach(function (graph) {
      if (graph !== source) graph.updateOptions({ dateWindow: range });
    });
    moving = false;
  }

  function draw(chart, index) {
    var readout = document.getElementById("readout-" + index);
    var rows = chart.values.map(function (value, i) {
      return [chart.start_s + (i + 0.5) * chart.bin_s, value];
    });
    var options = {
      labels: ["s", "value"], colors: [colour("line")], strokeWidth: 1.6, legend: "never", drawPoints: false, connectSeparatedPoints: false,
      dateWindow: [data.start_s, data.end_s], valueRange: [chart.y_low, chart.y_high], gridLineColor: colour("rule"),
      axisLineColor: "transparent", axisLabelFontSize: 11, highlightCircleSize: 4, underlayCallback: underlay(chart),
      axes: {
        x: { axisLabelFormatter: function (at) { return three(at) + " s"; }, drawGrid: false, pixelsPerLabel: 90, axisTickSize: 8 },
        y: { axisLabelFormatter: function (value) { return show(chart.unit, value); }, axisLabelWidth: GUTTER_PX - 6, pixelsPerLabel: 42 }
      },
      highlightCallback: function (event, x, points) {
        if (points.length) readout.textContent = "at " + x.toFixed(3) + " s: " + show(chart.unit, points[0].yval);
      },
      unhighlightCallback: function () { readout.textContent = ""; },
      zoomCallback: function () { follow(graphs[index]); }
    };
    if (chart.y_high === null) delete options.valueRange;
    return new Dygraph(document.getElementById("live-" + index), rows, options);
  }

  Dygraph.PLUGINS = [Dygraph.Plugins.Axes, Dygraph.Plugins.Grid]; /* the others are unused, and one sets a style the policy forbids */
  document.documentElement.classList.add("scripted");
  data.charts.forEach(function (chart, index) {
    graphs.push(draw(chart, index));
  });
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", function () {
    graphs.forEach(function (graph) {
      graph.updateOptions({ colors: [colour("line")], gridLineColor: colour("rule") });
    });
  });
})();

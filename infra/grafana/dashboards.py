"""Writes dashboards/*.json: `make grafana`, which gets the library it needs.

What is drawn is in panels.py. Limits are read from the alerts, so that a panel turns red where somebody is
woken; uids are fixed, so that links stay; the data source is a variable, so that any Prometheus will do.
"""

import json
import re
from pathlib import Path

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, statetimeline, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as models
from grafana_foundation_sdk.models import dashboard as shapes

import panels

HERE = Path(__file__).parent
RUNBOOKS = "https://github.com/evp-project/evp/blob/main/docs/runbooks"
RULES = (HERE / "../prometheus/rules/alerts.yml").read_text()
SOURCE = shapes.DataSourceRef(type_val="prometheus", uid="${datasource}")
# Of 24: what a panel of its kind is wide, and high.
SIZES = {"stat": (4, 4), "words": (24, 8), "graph": (8, 8)}


def limit(alert, nth):
    """A number that an alert's expressions compare with, and on which side of it the alert fires."""
    rules = [rule for rule in RULES.split("- alert: ")[1:] if rule.split("\n")[0] == alert]
    found = []
    for rule in rules:
        for sign, number, times in re.findall(r"([<>]) ([0-9.e]+)(?: \* ([0-9.]+))?", rule.split("labels:")[0]):
            found.append((sign, float(number) * float(times or 1)))
    assert found, f"{alert} compares with no number"
    sign, number = found[nth]
    # A threshold begins at its number; what fires above 0 does not fire at 0.
    return sign, number or 1e-6


def thresholds(alert, nth, over):
    """Green, and red where the alert fires; `over` is what the panel shows in place of the alert's number."""
    sign, number = over or limit(alert, nth)
    below, above = ("green", "red") if sign == ">" else ("red", "green")
    steps = [shapes.Threshold(value=None, color=below), shapes.Threshold(value=number, color=above)]
    return dashboard.ThresholdsConfig().mode(shapes.ThresholdsMode.ABSOLUTE).steps(steps)


def words(said):
    options = {str(value): shapes.ValueMappingResult(text=text, color=color) for value, text, color in said}
    return [shapes.ValueMap(options=options)]


def panel(kind, title, unit, queries, alert=None, nth=0, over=None, said=None):
    made = {"stat": stat.Panel, "words": statetimeline.Panel, "graph": timeseries.Panel}[kind]()
    width, height = SIZES[kind]
    made.title(title).unit(unit).datasource(SOURCE).height(height).span(width)
    for ref, (expr, legend) in zip("ABCDEFGH", queries, strict=False):
        query = prometheus.Dataquery().expr(expr).legend_format(legend).ref_id(ref)
        made.with_target(query.instant() if kind == "stat" else query.range())
    if alert:
        page = f"{RUNBOOKS}/{alert}.md"
        link = dashboard.DashboardLink(alert).type(shapes.DashboardLinkType.LINK).url(page).target_blank(True)
        made.description(f"Red where {alert} fires.").links([link]).thresholds(thresholds(alert, nth, over))
        if kind == "graph":
            style = common.GraphThresholdsStyleConfig().mode(models.GraphThresholdsStyleMode.LINE)
            made.thresholds_style(style)
    if said:
        made.mappings(words(said))
    if kind == "graph":
        made.min(0).fill_opacity(8).legend(common.VizLegendOptions().show_legend(True).placement(models.LegendPlacement.BOTTOM))
    return made


def board(uid, title, rows):
    variable = dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus")
    made = (
        dashboard.Dashboard(title)
        .uid(uid)
        .tags(["evp"])
        .time("now-1h", "now")
        .refresh("30s")
        .tooltip(shapes.DashboardCursorSync.CROSSHAIR)
        .with_variable(variable)
        .link(dashboard.DashboardLink("EVP").type(shapes.DashboardLinkType.DASHBOARDS).tags(["evp"]).as_dropdown(True).keep_time(True))
    )
    number = 0
    for name, members in rows:
        number += 1
        made.with_row(dashboard.Row(name).id(number))
        for member in members:
            number += 1
            made.with_panel(panel(*member[:4], **(member[4] if len(member) > 4 else {})).id(number))
    text = json.dumps(made.build(), cls=JSONEncoder, sort_keys=True, indent=1)
    (HERE / f"dashboards/{uid}.json").write_text(text + "\n")


for each in panels.BOARDS:
    board(*each)

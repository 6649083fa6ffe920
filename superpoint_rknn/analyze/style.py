"""How the analysis report looks: light or dark as the reader's system, from phone to desktop."""

STYLE = """
:root {
  --page: #f7f7f5; --card: #ffffff; --ink: #1a1a19; --soft: #5c5b57; --line: #e2e1dc;
  --own: #c2571a; --accumulated: #2a6fbb; --bad: #b3261e; --good: #3b7d3c;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #161615; --card: #20201e; --ink: #f0efea; --soft: #aaa9a2; --line: #3a3936;
    --own: #e8834a; --accumulated: #6ea8e6; --bad: #f2796f; --good: #7cc07d;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 760px; margin: 0 auto; padding: 16px 12px 48px; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 8px 4px 16px; }
h2 { font-size: 1.2rem; margin: 0 0 12px; }
h3 { font-size: 1.05rem; margin: 0 0 4px; }
h4 { font-size: .95rem; margin: 20px 0 6px; overflow-wrap: anywhere; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 16px; margin: 0 0 14px; }
.legend, figcaption { color: var(--soft); font-size: .875rem; margin: 0 0 8px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(105px, 1fr)); gap: 10px;
  margin: 0 0 12px; }
.tiles div { border: 1px solid var(--line); border-radius: 8px; padding: 10px 12px; }
.tiles b { display: block; font-size: 1.5rem; line-height: 1.3; }
.tiles span { color: var(--soft); font-size: .85rem; }
.finding { border-left: 4px solid var(--accumulated); padding: 2px 0 2px 14px; margin: 16px 0 0; }
.finding.clipped, .finding.wasted, .finding.bias, .finding.input { border-color: var(--bad); }
.finding.agrees { border-color: var(--good); }
.finding p { margin: 0; }
.finding .try { font-weight: 600; margin-top: 8px; }
.finding ul { margin: 2px 0 0; padding-left: 20px; }
svg { display: block; width: 100%; max-width: 640px; height: auto; }
svg text { font: 12px system-ui, sans-serif; fill: var(--ink); }
svg .tick, svg .note { font-size: 11px; fill: var(--soft); }
svg .bad { font-size: 11px; fill: var(--bad); font-weight: 600; }
svg .worst { font-weight: 700; fill: var(--bad); }
svg .grid { stroke: var(--line); }
svg .axis { stroke: var(--soft); }
svg .link { stroke: var(--line); stroke-width: 3; }
svg circle { stroke: var(--card); stroke-width: 1.5; }
svg circle.own { fill: var(--own); }
svg circle.accumulated { fill: var(--accumulated); }
svg .track { fill: var(--line); rx: 3px; }
svg .used { fill: var(--accumulated); rx: 2px; }
span.own { color: var(--own); }
span.accumulated { color: var(--accumulated); }
.circle, .cross { font-weight: 700; font-size: 1.1em; }
.circle { color: #28a0ff; }
.cross { color: #ff8c28; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; }
th, td { padding: 4px 9px; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--line); }
th { font-weight: 600; }
thead th { color: var(--soft); }
th:first-child { text-align: left; position: sticky; left: 0; background: var(--card); }
tr.worst th, tr.worst td { color: var(--bad); font-weight: 600; }
details { margin-top: 10px; font-size: .875rem; color: var(--soft); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 14px; margin: 8px 0 0;
  font-size: .875rem; }
dt { font-weight: 600; }
dd { margin: 0; color: var(--soft); overflow-wrap: anywhere; }
figure { margin: 0 0 10px; }
img { display: block; width: 100%; height: auto; border-radius: 6px; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 8px; }
@media (max-width: 520px) { .pair { grid-template-columns: 1fr; } section { padding: 12px; } }
"""

//! The picture of `docs/benchmarks.md`: wall time of a run that changes nothing, a bar a peer, on a logarithmic scale.
//!
//! Plain SVG with its own background, so that it reads the same on a light and on a dark page. Not for: the numbers
//! themselves; they stand in the tables.

use std::fmt::Write as _;

use crate::peers::Peer;
use crate::results::{Noop, Results};

const WIDTH: f64 = 820.0;
/// Where bars begin, and how far they may reach.
const LEFT: f64 = 210.0;
const RIGHT: f64 = 720.0;
const BAR: f64 = 18.0;
const STEP: f64 = 24.0;
const HEAD: f64 = 34.0;

/// The picture.
#[must_use]
pub fn svg(results: &Results) -> String {
    let walls = || results.noop.iter().map(|row| row.wall.median);
    // Whole decades around all bars, so that the shortest can be seen.
    let least = (walls().fold(f64::INFINITY, f64::min) / 2.0).log10().floor();
    let most = walls().fold(0.0, f64::max).log10().ceil().max(least + 1.0);
    let x = |seconds: f64| LEFT + (seconds.log10() - least) / (most - least) * (RIGHT - LEFT);

    let mut body = String::new();
    let mut y = 76.0;
    let mut fleet = 0;
    for row in &results.noop {
        if row.hosts != fleet {
            fleet = row.hosts;
            y += HEAD;
            let hosts = if fleet == 1 { "1 host".to_owned() } else { format!("{fleet} hosts") };
            let _ = writeln!(body, r#"<text x="24" y="{:.0}" class="h">{hosts}</text>"#, y - 10.0);
        }
        bar(&mut body, row, y, x(row.wall.median));
        y += STEP;
    }
    let height = y + 20.0;

    let mut axis = String::new();
    let mut decade = least;
    while decade <= most {
        let seconds = 10f64.powf(decade);
        let label = if seconds < 1.0 { format!("{:.0} ms", seconds * 1e3) } else { format!("{seconds:.0} s") };
        let at = x(seconds);
        let _ = writeln!(axis, r#"<line x1="{at:.1}" y1="80" x2="{at:.1}" y2="{:.0}" class="g"/>"#, height - 16.0);
        let _ = writeln!(axis, r#"<text x="{at:.1}" y="72" class="t" text-anchor="middle">{label}</text>"#);
        decade += 1.0;
    }
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:.0} {height:.0}" width="{WIDTH:.0}" height="{height:.0}" role="img" aria-label="Wall time of a run that changes nothing, a bar for each tool">
<style>
text {{ font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #24292f }}
.h {{ font-weight: 600 }} .t {{ fill: #57606a; font-size: 12px }} .c {{ font-size: 15px; font-weight: 600 }}
.g {{ stroke: #d8dee4 }} .b {{ fill: #8c959f }} .o {{ fill: #0969da }} .v {{ font-weight: 600 }}
</style>
<rect width="100%" height="100%" fill="#ffffff"/>
<text x="24" y="30" class="c">Wall time of a run that changes nothing</text>
<text x="24" y="46" class="t">logarithmic scale; in brackets, by how much it is longer than the product's</text>
{axis}{body}</svg>
"##
    )
}

fn bar(body: &mut String, row: &Noop, y: f64, end: f64) {
    let ours = row.peer == Peer::Product;
    let wall = row.wall.median;
    let value = if wall < 1.0 { format!("{:.0} ms", wall * 1e3) } else { format!("{wall:.2} s") };
    let by = row.ratio.map_or_else(String::new, |ratio| format!("  ({:.1} ×)", 1.0 / ratio.median));
    let (kind, weight) = if ours { ("o", "v") } else { ("b", "t") };
    let _ = writeln!(
        body,
        r#"<text x="{:.0}" y="{:.0}" text-anchor="end" class="{weight}">{}</text><rect x="{LEFT:.0}" y="{y:.0}" width="{:.1}" height="{BAR:.0}" rx="2" class="{kind}"/><text x="{:.1}" y="{:.0}" class="{weight}">{value}{by}</text>"#,
        LEFT - 10.0,
        y + 13.5,
        row.peer.name(),
        (end - LEFT).max(1.0),
        end + 6.0,
        y + 13.5,
    );
}
